"""Distributions as their metadata has them: what is there, twice there, and broken of Tunesmith itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from tunesmith import TunesmithError, __version__
from tunesmith.catalog import Catalog, Entry
from tunesmith_library_configuration.strays import described

from tunesmith_command_doctor.found import Facts, Finding

_MANY = 24  # names of a kind that are listed


@dataclass(frozen=True)
class Distribution:
    """One that is installed."""

    name: str  # canonical: lower case, with dashes
    version: str
    requires: tuple[str, ...]
    place: str  # the folder that it lies in
    also: tuple[str, ...] = ()  # "VERSION in FOLDER" of others of its name, which this one hides

    @property
    def ours(self) -> bool:
        return self.name == "tunesmith" or self.name.startswith("tunesmith-")


Installed = dict[str, Distribution]
"""All distributions by name."""


def snapshot() -> Installed:
    """Every distribution on the path; of several with one name the first, which is the one that is imported."""
    found: Installed = {}
    for distribution in importlib.metadata.distributions():
        about = described(distribution)
        if about is None or not about["Name"]:
            continue
        name, version = canonicalize_name(about["Name"]), about["Version"] or ""
        place = str(Path(str(distribution.locate_file(""))))
        if name not in found:
            found[name] = Distribution(name, version, tuple(about.get_all("Requires-Dist") or ()), place)
        elif (version, place) != (found[name].version, found[name].place):
            first = found[name]
            also = (*first.also, f"{version} in {place}")
            found[name] = Distribution(name, first.version, first.requires, first.place, also)
    return found


def findings(catalog: Catalog, there: Installed) -> Iterator[Finding]:
    """What is wrong with Tunesmith's own distributions and with plugins."""
    for entry in catalog.entries():
        cause = _cause(catalog, entry)
        if cause:
            message, _, advice = cause.partition("\n")
            yield Finding(entry.address, message, advice or "tell the authors of the plugin")
    for stray in catalog.strays:
        yield Finding("plugins", str(stray), "tell the authors of the plugin", wrong=False)
    other = [one for one in there.values() if one.ours and one.version != __version__ and _of_the_project(one, catalog)]
    if other:
        named = ", ".join(f"{one.name} {one.version}" for one in other[:5]) + (" …" if len(other) > 5 else "")
        message = f"{len(other)} distributions are of another version than the kernel, {__version__}: {named}"
        yield Finding("tunesmith", message, f"pip install --upgrade tunesmith {' '.join(one.name for one in other)}")
    for one in there.values():
        if one.also:
            message = f"{one.version} in {one.place} hides {', '.join(one.also)}; what is imported may be a mixture"
            again = f"pip uninstall -y {one.name} (until it says that there is none), then install it once"
            yield Finding(one.name, message, again, wrong=one.name == "torch" or one.ours)


def facts(catalog: Catalog, there: Installed) -> Facts:
    """Versions of the kernel and of the plugins; those of other people with theirs."""
    entries = catalog.entries()
    distributions = {entry.distribution: entry.version for entry in entries}
    others = {name: version for name, version in distributions.items() if version != __version__}
    told = {"tunesmith": __version__, "plugins": f"{len(entries)} in {len(distributions)} distributions"}
    if others:
        told["of other versions"] = ", ".join(f"{name} {version}" for name, version in sorted(others.items()))
    kinds = sorted({entry.kind for entry in entries})
    for kind in kinds:
        names = catalog.names(kind)
        more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
        told[kind] = ", ".join(names[:_MANY]) + more
    libraries = [
        one.name.removeprefix("tunesmith-library-") for one in there.values() if "tunesmith-library-" in one.name
    ]
    return {**told, "libraries": ", ".join(sorted(libraries))}


def _cause(catalog: Catalog, entry: Entry) -> str:
    """Why a plugin cannot be imported, and what to do; "" for one that can."""
    try:
        catalog.load(entry)
    except TunesmithError as error:
        return str(error)
    return ""


def _of_the_project(one: Distribution, catalog: Catalog) -> bool:
    """Whether it is released with the kernel: other people's plugins may be called tunesmith-…, too."""
    from tunesmith.catalog import known_distributions

    return one.name == "tunesmith-suite" or one.name in set(known_distributions().values())
