"""Discovery: which plugins are installed, from entry-point metadata alone. Only what is selected is imported."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.resources
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import PluginError, choices, nearest
from tunesmith.kinds import KINDS
from tunesmith_library_configuration.recipes import GROUP as RECIPES
from tunesmith_library_configuration.restricting import restricted
from tunesmith_library_configuration.strays import Stray, described, strays
from tunesmith_library_configuration.versions import specifier_of

_PREFIX = "tunesmith."
_OTHERS = "https://github.com/tunesmith-dev/tunesmith/blob/main/docs/third-party.md"


@dataclass(frozen=True)
class Entry:
    """One plugin: its address and where it comes from."""

    kind: str
    name: str  # as the configuration has it: `console`, or `acme:console` where several distributions offer that
    distribution: str = ""  # or the file of a private plugin; "" for one that is not installed
    version: str = ""
    target: str = ""  # module:attribute
    kernel: str = ""  # the kernel versions that the distribution asks for, as a specifier; "" for any
    load: Callable[[], Any] = lambda: None
    private: bool = False  # it is one file that the user named, and its version is the file's hash

    @property
    def address(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def origin(self) -> str:
        return f"{self.distribution} {self.version}"


class MissingPluginError(PluginError):
    """No plugin has the name; `distribution` is what to install, None when nobody knows, "" where one is hidden."""

    def __init__(self, message: str, distribution: str | None) -> None:
        super().__init__(message)
        self.distribution = distribution


class Catalog:
    """The installed plugins, by kind and name."""

    def __init__(
        self, entries: list[Entry], restriction: str = "", strays: Iterable[Stray] = (), hidden: Iterable[str] = ()
    ) -> None:
        self.restriction = restriction  # what hides installed plugins, for the messages; "" when nothing does
        self.hidden = frozenset(hidden)  # the addresses of those
        self.strays = tuple(strays)
        self._entries: dict[str, list[Entry]] = {}
        for entry in entries:
            self._entries.setdefault(entry.address, []).append(entry)

    @classmethod
    def discover(cls) -> Catalog:
        """Read the entry points of every installed distribution.

        `TUNESMITH_PLUGINS=a,b` restricts the result to these; each is a kind (`tracker`), a name (`lora`), both
        (`adapter.lora`, `adapter=lora`) or a distribution (`tunesmith-adapter-lora`).
        """
        found: dict[str, list[Entry]] = {}
        astray: list[Stray] = []
        for distribution in importlib.metadata.distributions():
            points = [point for point in distribution.entry_points if point.group.startswith(_PREFIX)]
            about = described(distribution) if points else None
            if about and about["Name"]:
                name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
                if name not in found:  # the first on the path is the one that is imported
                    found[name] = list(_entries(name, about, points))
                    astray += strays(distribution, name, _PREFIX, KINDS, (RECIPES,))
        entries = [entry for entries in found.values() for entry in entries]
        shown, restriction = restricted(entries, _called, "TUNESMITH_PLUGINS")
        return cls(shown, restriction, astray, {entry.address for entry in set(entries).difference(shown)})

    @classmethod
    def of(cls, plugins: Mapping[str, type]) -> Catalog:
        """A catalog of classes at hand, by address: `Catalog.of({"adapter.lora": Lora})`. For tests and notebooks."""

        def entry(address: str, plugin: type) -> Entry:
            kind, _, name = address.partition(".")
            target = f"{plugin.__module__}:{plugin.__qualname__}"
            return Entry(kind, name, plugin.__module__.partition(".")[0], "local", target, "", lambda: plugin)

        return cls([entry(address, plugin) for address, plugin in plugins.items()])

    def entries(self) -> list[Entry]:
        """All entries, by kind in the order of a run, then by name; an ambiguous name has several."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        everything = [entry for entries in self._entries.values() for entry in entries]
        return sorted(everything, key=lambda entry: (order[entry.kind], entry.name, entry.distribution))

    def names(self, kind: str) -> list[str]:
        """The names that can be selected for a kind, sorted."""
        return sorted({entry.name for entry in self.entries() if entry.kind == kind})

    def classes(self, kind: str) -> dict[str, type]:
        """The plugins of a kind by name, imported; those that are broken are left out."""
        found = {}
        for name in self.names(kind):
            with contextlib.suppress(PluginError):
                found[name] = self.load(self.find(kind, name, asked=False))
        return found

    def find(self, kind: str, name: str, *, folder: Path | None = None, asked: bool = True) -> Entry:
        """The one entry of a name.

        Args:
            name: `lora`; `acme:console` for that of one distribution (its name, or the beginning of it up to a dash);
                `my_loss.py:Mine` for a class, or a function, in a file.
            folder: that relative files are looked for in first.
            asked: False for a default; where several distributions offer it, the project's own is taken.

        Raises: PluginError when there is none, or when several distributions offer what was asked for.
        """
        file, separator, attribute = (name, ":", "") if name.endswith(".py") else name.rpartition(":")
        if separator and file.endswith(".py"):
            from tunesmith.private import find_in_file

            found, digest, load = find_in_file(kind, name, Path(file), attribute, folder)
            return Entry(kind, f"{found}:{attribute}", str(found), f"sha256:{digest}", name, load=load, private=True)
        plain = attribute if separator else name
        entries = self._entries.get(f"{kind}.{plain}", [])
        if separator:
            entries = [entry for entry in entries if f"{entry.distribution}-".startswith(f"{file}-")]
        elif len(entries) > 1 and not asked:
            own = known_distributions().get(f"{kind}.{name}")
            entries = [entry for entry in entries if entry.distribution == own] or entries[:1]
        if len(entries) > 1:
            offers = ", ".join(sorted(entry.origin for entry in entries))
            names = sorted(f"{entry.distribution}:{plain}" for entry in entries)
            named = [f"{kind}=[{one}]" if KINDS[kind].many else f"{kind}={one}" for one in names]
            raise PluginError(
                f"{kind}={name} is offered by {len(entries)} distributions: {offers}.\nchoose one: {' or '.join(named)}"
            )
        if not entries:
            raise self._missing(kind, name, plain)
        return dataclasses.replace(entries[0], name=name)

    def _missing(self, kind: str, name: str, plain: str) -> MissingPluginError:
        if f"{kind}.{plain}" in self.hidden:
            advice = f"{self.restriction}\nunset it, or add {kind}.{plain}"
            return MissingPluginError(f"{kind}={name} is installed, but hidden.\n{advice}", "")
        known, offers = known_distributions(), self._entries.get(f"{kind}.{plain}", [])
        distribution = known.get(f"{kind}.{name}")
        if name != plain and offers:
            advice = f"{plain} is offered by {', '.join(entry.origin for entry in offers)}"
        elif distribution:
            advice = f"pip install {distribution}"
        else:
            names = {address.partition(".")[2] for address in known if address.startswith(f"{kind}.")}
            names |= set(self.names(kind))
            advice = choices(name, names, "installed or known")
            if not nearest(name, names) and plain.replace("-", "_").isidentifier():
                advice += f"\nwrite your own: tunesmith new {kind} {plain}   other people's: {_OTHERS}"
        advice += "".join(f"\n{stray}" for stray in self.strays if stray.name == name)
        hidden = f"\n{self.restriction}" if self.restriction and not distribution else ""
        return MissingPluginError(f"no installed plugin provides {kind}={name}.\n{advice}{hidden}", distribution)

    def load(self, entry: Entry) -> type:
        """Import a plugin's class.

        Raises: PluginError when it needs another kernel, cannot be imported, or is not a plugin.
        """
        from tunesmith import __version__
        from tunesmith.options import is_plugin
        from tunesmith_library_configuration.versions import suits

        label = f"{entry.kind}={entry.name} ({entry.origin})"
        if not suits(__version__, entry.kernel):
            raise PluginError(
                f"{label} needs tunesmith {entry.kernel}, installed is {__version__}.\n"
                f"pip install --upgrade tunesmith {entry.distribution}"
            )
        try:
            loaded = entry.load()
        except PluginError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise PluginError(f"{label} cannot be imported: {cause}\n{_mended(entry)}") from error
        if not is_plugin(loaded):
            advice = "put @plugin above it." if entry.private else "tell the authors of the plugin."
            raise PluginError(f"{label}: {entry.target} is not a class with @plugin; {advice}")
        return typing.cast(type, loaded)


def _mended(entry: Entry) -> str:
    """What to do with a plugin that cannot be imported; only the project's own names are told to pip."""
    if entry.private:
        return "mend the file"
    own = entry.distribution in known_distributions().values()
    command = f"pip install --upgrade --force-reinstall {entry.distribution}"
    return command if own else "tell the authors of the plugin"


def _entries(name: str, about: Any, points: list[importlib.metadata.EntryPoint]) -> Iterator[Entry]:
    version, kernel = about["Version"], specifier_of("tunesmith", about.get_all("Requires-Dist") or ())
    for point in points:
        kind = point.group.removeprefix(_PREFIX)
        if kind in KINDS:
            yield Entry(kind, point.name, name, version, point.value, kernel, point.load)


def _called(entry: Entry) -> tuple[str, ...]:
    """What people call a plugin."""
    short = entry.distribution.removeprefix("tunesmith-")
    return entry.name, entry.kind, entry.address, f"{entry.kind}={entry.name}", entry.distribution, short


@functools.cache
def known_distributions() -> Mapping[str, str]:
    """The distributions of the project, by the addresses they offer: what an error can tell to install."""
    text = importlib.resources.files("tunesmith").joinpath("known_plugins.json").read_text(encoding="utf-8")
    known: Mapping[str, str] = json.loads(text)
    return known
