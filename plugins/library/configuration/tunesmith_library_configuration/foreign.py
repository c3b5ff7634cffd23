"""Configurations of other programs: how they become layers in words of ours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith_library_configuration.keys import Key, Origin, Origins, everywhere, nearest_origin
from tunesmith_library_configuration.layers import Layer
from tunesmith_library_configuration.overrides import Override
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.translation import Note, Translation
from tunesmith_library_configuration.trees import Tree

_AXOLOTL = frozenset(("base_model", "datasets", "sequence_len", "micro_batch_size", "num_epochs", "lora_r"))
"""Keys of Axolotl's files; `base_model` with one of the others is in no other program's."""


@dataclass(frozen=True)
class Reading:
    """A foreign configuration in our words, and what is to be said of it."""

    tree: dict[str, Any]
    origins: Origins
    command: str
    notices: tuple[str, ...]
    problems: tuple[Problem, ...]
    shared: frozenset[str] = frozenset()  # keys of ours that the other program has, too


def reading(made: Translation, origins: Origins, dialect: str, read_by: str) -> Reading:
    """What a translation says, with the origins of the values that it was made of.

    Args:
        origins: of the foreign configuration.
        dialect: what it is a configuration of.
        read_by: who translated it, as it is told.
    """
    config = copy.deepcopy(dict(made.config))
    strange = any(origin.strange for origin in origins.values())
    default = Origin(f"default of {dialect}", strange=strange)
    placed = everywhere(Key(), config, default)
    sources = [(Key.of(ours), theirs) for ours, theirs in made.sources.items()]
    for ours, theirs in sorted(sources, key=lambda item: len(item[0])):
        within = [key for key in placed if key.within(ours)]
        if isinstance(theirs, Origin):
            placed |= dict.fromkeys(within, theirs)
            continue
        inside = [(key, nearest_origin(Key(*Key.of(theirs), *key[len(ours) :]), origins)) for key in within]
        placed |= {key: origin for key, origin in inside if origin}
    _place_mappings(config, Key(), placed, default)
    told = [_told(note, origins) for note in made.notes if note.outcome != "refused"]
    problems = [_refused(note, origins) for note in made.notes if note.outcome == "refused"]
    return Reading(config, placed, made.command, (read_by, *told), tuple(problems), made.shared)


def _place_mappings(made: Mapping[str, Any], at: Key, placed: dict[Key, Origin], default: Origin) -> None:
    """Put mappings that nobody wrote as such where their name was written, or without one the first thing in them."""
    for part, value in made.items():
        if isinstance(value, Mapping):
            _place_mappings(value, at / part, placed, default)
    inner = [at / "name"] if "name" in made else [at / part for part in made]
    if at and placed[at] == default:
        placed[at] = next((placed[key] for key in inner if placed[key] != default), default)


def _told(note: Note, origins: Origins) -> str:
    place = nearest_origin(Key.of(note.key), origins)
    happened = f"{note.key} is dropped" if note.outcome == "dropped" else note.key
    return f"{f'{place}: ' if place else ''}{happened}: {note.reason}"


def _refused(note: Note, origins: Origins) -> Problem:
    """An error under no key of ours, for the foreign one may be called like one of them."""
    place = nearest_origin(Key.of(note.key), origins)
    return Problem(Key(), f"{note.key}: {note.reason}", "\n".join(filter(None, [note.advice, str(place or "")])))


def _unread(tree: Mapping[str, Any], source: Origin) -> list[Problem]:
    """Whose configuration it looks like that no dialect reads: its keys are wrong one by one, and this says why."""
    if "base_model" not in tree or len(_AXOLOTL & tree.keys()) == 1:
        return []
    message = f"{source}: it looks like a configuration of Axolotl, which has other keys."
    return [Problem(Key(), message, "docs/guides/from_axolotl.md has each of them in our words")]


@dataclass
class Words:
    """Puts layers into our words; `ours` is what `Layers.change` takes."""

    known: frozenset[str]  # the keys of the top level that are ours
    overrides: list[Override]  # those in a foreign file's words go into it
    # makes ours of a foreign mapping; None for one that nobody knows
    translate: Callable[[Mapping[str, Any], Origins, Origin], Reading | None]
    upgrade: Callable[[dict[str, Any], str], tuple[dict[str, Any], list[str]]]  # of a file of ours, by its name
    taken: set[Key] = field(default_factory=set)  # overrides that went into a file, and are not put over it again
    command: str | None = None  # of what was translated; None when all is ours
    problems: list[Problem] = field(default_factory=list)

    def ours(self, layer: Layer) -> tuple[Layer, list[str]]:
        """A layer in our words, and what is to be said of that."""
        tree, told = self.upgrade(layer.tree, str(layer.source))
        origins = {**everywhere(Key(), tree, layer.source), **layer.origins} if told else layer.origins
        if tree and not tree.keys() - self.known:
            return Layer(tree, origins, layer.source), told
        theirs = [item for item in self.overrides if self._is_theirs(item.key, tree)]
        reading = self._read(tree, origins, layer.source, theirs) or self._mixed(tree, origins, layer.source, theirs)
        if reading is None:
            self.problems += _unread(tree, layer.source)
            return Layer(tree, origins, layer.source), told
        shared = [item for item in self.overrides if len(item.key) == 1 and item.key[0] in reading.shared - tree.keys()]
        if shared:
            theirs += shared
            reading = self._read(tree, origins, layer.source, theirs) or reading
        self.command = reading.command
        self.taken |= {item.key for item in theirs}
        self.problems += reading.problems
        return Layer(reading.tree, reading.origins, layer.source), [*told, *reading.notices]

    def _read(
        self, tree: Mapping[str, Any], origins: Origins, source: Origin, theirs: list[Override]
    ) -> Reading | None:
        """A foreign mapping, with overrides in its words put over it, as its dialect reads it."""
        foreign = Tree(copy.deepcopy(dict(tree)), dict(origins))
        for item in theirs:
            (foreign.lengthen if item.adds else foreign.put)(item.key, item.value, item.where)
        return self.translate(foreign.tree, foreign.origins, source)

    def _mixed(
        self, tree: Mapping[str, Any], origins: Origins, source: Origin, theirs: list[Override]
    ) -> Reading | None:
        """A file most of which is another program's, without the keys of ours in it, which are a problem."""
        own = [key for key, value in tree.items() if key in self.known and isinstance(value, Mapping)]
        others = {key: value for key, value in tree.items() if key not in own}
        reading = self._read(others, origins, source, theirs) if own and len(others) > len(own) else None
        if reading is None:
            return None
        message = f"{', '.join(own)} in words of ours, in a configuration that is otherwise another program's."
        advice = f"write an override on the command line, {own[0]}.OPTION=VALUE, or all of the file in our words\n"
        advice += f"(tunesmith config convert writes the others so)\n{nearest_origin(Key(own[0]), origins) or ''}"
        return replace(reading, problems=(Problem(Key(), message, advice), *reading.problems))

    def _is_theirs(self, key: Key, tree: Mapping[str, Any]) -> bool:
        """Whether an override is in the words of a file: not ours, or written in it."""
        return key[0] not in self.known or (len(key) == 1 and key[0] in tree)
