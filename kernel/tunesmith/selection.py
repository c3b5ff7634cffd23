"""Selection: which plugins a configuration names for a command, found among the installed ones and imported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog, Entry, MissingPluginError
from tunesmith.compose import Composition
from tunesmith.errors import PluginError, choices
from tunesmith.keys import Key
from tunesmith.kinds import CONFIGURED, KINDS, Kind
from tunesmith.planning import problem_of
from tunesmith.traits import traits_of
from tunesmith.types import Problem
from tunesmith_library_configuration.addresses import hub_of
from tunesmith_library_configuration.requirements import locked
from tunesmith_library_configuration.unknown import with_line


@dataclass(frozen=True)
class Wanted:
    """A plugin that is named: by the configuration, or by another plugin that calls it."""

    kind: str
    name: str
    key: Key  # where it is named
    asked: bool = True  # False for a default

    @property
    def where(self) -> Key:
        """Where its options are."""
        return Key(self.kind, self.name) if KINDS[self.kind].many else Key(self.kind)

    @property
    def label(self) -> str:
        return f"{self.kind}={self.name}"


@dataclass(frozen=True)
class Choice:
    """A plugin that was found and imported."""

    wanted: Wanted
    entry: Entry
    cls: type


@dataclass(frozen=True)
class Selection:
    """What became of the plugins that are wanted."""

    choices: tuple[Choice, ...]
    absent: Mapping[Wanted, str]  # what was not found, or cannot be imported; the distribution to install, "" for none
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]


def wanted(composition: Composition, command: str, catalog: Catalog) -> tuple[tuple[Wanted, ...], tuple[Problem, ...]]:
    """The plugins that a configuration names for a command, defaults included, and the kinds that lack a name."""
    found: list[Wanted] = []
    problems = []
    elsewhere = not composition.tree.get("model") and _says("engine", "brings_model", composition, catalog)
    for kind in CONFIGURED.values():
        value = composition.tree.get(kind.name)
        if elsewhere and command in ("chat", "eval") and "load" in kind.commands:  # what a model needs that is here
            continue
        of_stage = command == "train" and kind.trait and _says("stage", kind.trait, composition, catalog)
        if not (command in kind.commands or of_stage or _shapes_model(kind, value, composition, catalog)):
            continue
        if kind.many:
            found += _named(kind, value, composition, catalog)
            continue
        name = (value or {}).get("name", next(iter(kind.default), None))
        if name is not None:
            asked = Key(kind.name, "name") in composition.origins
            found.append(Wanted(kind.name, str(name), Key(kind.name, "name"), asked))
        elif kind.how_many == "one" or (value and set(value) != {"name"}):
            advice = f"{choices('', catalog.names(kind.name), 'installed')}\nwrite {kind.name}=NAME"
            problems.append(Problem(Key(kind.name), f"{kind.name} needs a name.", advice))
    unique = {(item.kind, item.name): item for item in (*_hub(composition), *found)}
    return tuple(unique.values()), tuple(problems)


def _named(kind: Kind, value: Any, composition: Composition, catalog: Catalog) -> Iterator[Wanted]:
    """The plugins of a kind of which there may be many; a default that is not installed is left out in silence."""
    for name in kind.default if value is None else value:
        asked = name not in kind.default or Key(kind.name, name) in composition.origins
        if asked or name in catalog.names(kind.name):
            yield Wanted(kind.name, name, Key(kind.name, name), asked)


def unrecorded(composition: Composition, command: str, catalog: Catalog) -> Iterator[str]:
    """What to say of kinds whose defaults are left out because none of them is installed."""
    for kind in CONFIGURED.values():
        value = composition.tree.get(kind.name)
        names = (kind.default if value is None else value) if kind.many and command in kind.commands else ()
        if names and not any(_named(kind, value, composition, catalog)):
            yield f"{kind.name}: none, for {', '.join(names)} {'is' if len(names) == 1 else 'are'} not installed"


def _says(kind: str, trait: str, composition: Composition, catalog: Catalog) -> bool:
    """Whether the plugin that a configuration names has a trait; False for one that is missing or broken."""
    name = str((composition.tree.get(kind) or {}).get("name"))
    with contextlib.suppress(PluginError):
        found = catalog.load(catalog.find(kind, name, folder=_folder(composition, Key(kind, "name"))))
        return bool(getattr(traits_of(kind, found), trait))
    return False


def _shapes_model(kind: Kind, value: Any, composition: Composition, catalog: Catalog) -> bool:
    """Whether the plugin whose options a configuration has shapes model or tokenizer, so that it always counts.

    False for one that is not installed; True for one that cannot be imported, whose cause is then told.
    """
    name = value.get("name", next(iter(kind.default), None)) if kind.shapes and value else None
    if name is None:
        return False
    try:
        entry = catalog.find(kind.name, str(name), folder=_folder(composition, Key(kind.name, "name")))
        return hasattr(catalog.load(entry), kind.shapes)
    except MissingPluginError:
        return False
    except PluginError:
        return True


def _hub(composition: Composition) -> Iterator[Wanted]:
    """The hub of the model's address, also when the model's own plugin is missing or wrong."""
    path = (composition.tree.get("model") or {}).get("path")
    default = str(composition.tree.get("default_hub") or "huggingface")
    if isinstance(path, str) and "${" not in f"{path}{default}":
        yield Wanted("hub", hub_of(path, default)[0], Key("model", "path"))
    if default != "huggingface" and "${" not in default:  # the record of a run names the hub that it had no need of
        yield Wanted("hub", default, Key("default_hub"))


def select(named: tuple[Wanted, ...], composition: Composition, catalog: Catalog) -> Selection:
    """Find and import plugins; what is not installed, ambiguous or broken is left out, with its reason."""
    found, problems, notices, hidden = [], [], [], []
    absent: dict[Wanted, str] = {}
    for item in named:
        try:
            entry = catalog.find(item.kind, item.name, folder=_folder(composition, item.key), asked=item.asked)
            if entry.private:
                notices.append(_admitted(item, entry, composition))
            found.append(Choice(item, entry, catalog.load(entry)))
        except MissingPluginError as error:
            made_with = locked(composition.run_folder, item.label)
            absent[item] = "" if made_with else error.distribution or ""
            if made_with:
                problems.append(Problem(item.key, f"no installed plugin provides {item.label}.", made_with))
            elif error.distribution is None:
                problems.append(with_line(problem_of(error, item.key), composition, CONFIGURED, catalog.classes))
            elif not error.distribution:
                hidden.append(item)
        except PluginError as error:
            absent[item] = ""
            problems.append(problem_of(error, item.key))
    if hidden:
        advice = f"unset it, or add {','.join(f'{item.kind}.{item.name}' for item in hidden)}"
        problems.append(Problem(Key(), f"{catalog.restriction}: {_placed(hidden, composition)}.", advice))
    return Selection(tuple(found), absent, tuple(problems), tuple(notices))


def _folder(composition: Composition, key: Key) -> Path | None:
    """The folder of the file in which a value is written; None for a value of the command line."""
    origin = composition.origins.get(key)
    return Path(origin.source).parent if origin and origin.line is not None else None


def _admitted(item: Wanted, entry: Entry, composition: Composition) -> str:
    """What to say of a plugin in a file, unless it is the record of a run, not its user, that names it.

    Raises: PluginError: whoever made a run's folder chose what stands in it.
    """
    origin = composition.origins.get(item.key)
    if composition.run_folder is not None and origin and origin.source == str(composition.file):
        say = f"{item.kind}+=[{item.name}]" if KINDS[item.kind].many else item.label
        raise PluginError(
            f"{item.label}: a run's folder names this file, which is not run for that reason alone.\n"
            f"if you know the file, say so: {say}"
        )
    return f"{item.kind}: {item.name} (your file, {entry.version[:19]})"


def missing_problem(missing: Mapping[Wanted, str], composition: Composition) -> Problem:
    """All that is to be installed, in one line and one command.

    Args:
        missing: what is wanted, and the distribution that has it.
    """
    command = f"pip install {' '.join(sorted(set(missing.values())))}"
    return Problem(Key(), f"not installed: {_placed(missing, composition)}.", command)


def _placed(items: Iterable[Wanted], composition: Composition) -> str:
    """Plugins, each with where it is named."""
    origins = [(item.label, composition.origins.get(item.key)) for item in items]
    return ", ".join(f"{label} ({origin})" if origin else label for label, origin in origins)
