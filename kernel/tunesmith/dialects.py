"""Dialects: a configuration of another program, known by its content, is translated into ours before it is composed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pluggy
from tunesmith import hookspecs
from tunesmith.catalog import Catalog
from tunesmith.errors import noted
from tunesmith.keys import Key, Origin, Origins, everywhere, nearest_origin
from tunesmith.kinds import CONFIGURED
from tunesmith.planning import RunOptions
from tunesmith.types import Note, Problem, Translation

OURS = frozenset({*CONFIGURED, *(option.name for option in dataclasses.fields(RunOptions)), "defaults"})
"""The keys of a configuration of ours."""


@dataclass(frozen=True)
class Reading:
    """A foreign configuration in our words, and what is to be said of it."""

    tree: dict[str, Any]
    origins: Origins
    command: str
    notices: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_foreign(
    tree: Mapping[str, Any], origins: Origins, source: Origin, catalog: Catalog | None = None
) -> Reading | None:
    """Ask the installed dialects for a mapping with keys that are not ours.

    Those that cannot be imported are left out. Beside keys of ours, a dialect is asked only for keys that it claims.

    Returns: what the first one made of it; None for a mapping of ours, and for one that nobody knows.
    """
    foreign = tree.keys() - OURS
    if not foreign:
        return None
    catalog = catalog or Catalog.discover()
    for name, cls in catalog.classes("dialect").items():
        if tree.keys() & OURS and not foreign & getattr(cls, "claims", frozenset()):
            continue
        manager = pluggy.PluginManager("tunesmith")
        manager.add_hookspecs(hookspecs)
        manager.register(cls())
        with noted(f"translate_config of dialect.{name}"):
            made = manager.hook.translate_config(config=copy.deepcopy(dict(tree)), origin=source)
        if made is not None:
            read_by = f"{source}: read as {name}'s, by {catalog.find('dialect', name, asked=False).origin}"
            return _reading(made, origins, name, read_by)
    return None


def _reading(made: Translation, origins: Origins, dialect: str, read_by: str) -> Reading:
    config = copy.deepcopy(dict(made.config))
    placed = everywhere(Key(), config, Origin(f"default of {dialect}"))
    sources = [(Key.of(ours), Key.of(theirs)) for ours, theirs in made.sources.items()]
    for ours, theirs in sorted(sources, key=lambda item: len(item[0])):
        inside = [(key, nearest_origin(Key(*theirs, *key[len(ours) :]), origins)) for key in placed if key.within(ours)]
        placed |= {key: origin for key, origin in inside if origin}
    told = [_told(note, origins) for note in made.notes if note.outcome != "refused"]
    problems = [_refused(note, origins) for note in made.notes if note.outcome == "refused"]
    return Reading(config, placed, made.command, (read_by, *told), tuple(problems))


def _told(note: Note, origins: Origins) -> str:
    place = nearest_origin(Key.of(note.key), origins)
    happened = f"{note.key} is dropped" if note.outcome == "dropped" else note.key
    return f"{f'{place}: ' if place else ''}{happened}: {note.reason}"


def _refused(note: Note, origins: Origins) -> Problem:
    """An error under no key of ours, for the foreign one may be called like one of them."""
    place = nearest_origin(Key.of(note.key), origins)
    return Problem(Key(), f"{note.key}: {note.reason}", "\n".join(filter(None, [note.advice, str(place or "")])))
