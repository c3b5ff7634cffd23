"""What every dialect keeps to."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition, compose
from tunesmith.dialects import OURS
from tunesmith.keys import Key, Origin
from tunesmith.types import Note, Translation

from tunesmith_library_testing.suites.plugin import PluginSuite

_UNKNOWN = "no_key_of_anybody"


def notes(made: Translation, outcome: str) -> dict[str, str]:
    """The reasons of a translation's notes of one outcome, by key."""
    return {str(note.key): note.reason for note in made.notes if note.outcome == outcome}


@dataclass(frozen=True)
class Beside:
    """Single keys of a program, translated beside those that all of its configurations have.

    Args:
        translate: the dialect's.
        common: what every configuration has.
    """

    translate: Callable[[Mapping[str, Any]], Translation]
    common: Mapping[str, Any]

    def made_of(self, **keys: Any) -> dict[str, Any]:
        """The configuration of ours that keys of theirs become."""
        return dict(self.translate({**self.common, **keys}).config)

    def notes_on(self, outcome: str, **keys: Any) -> dict[str, str]:
        """The reasons of the notes of one outcome on keys of theirs, by key."""
        return notes(self.translate({**self.common, **keys}), outcome)

    def refused(self, **keys: Any) -> dict[str, str]:
        """Why keys of theirs are refused."""
        return self.notes_on("refused", **keys)


class DialectSuite(PluginSuite):
    """The tests of a `dialect` plugin, on configurations of the program that it reads."""

    kind = "dialect"
    examples: ClassVar[Mapping[str, Mapping[str, Any]]]  # whole configurations of that program, by any name
    command: ClassVar[str] = "train"  # what the examples are configurations of

    def translate(self, config: Mapping[str, Any]) -> Translation | None:
        """What the hook gives for a mapping."""
        made: Translation | None = self.manager().hook.translate_config(config=config, origin=Origin("x.yaml"))
        return made

    def compose(self, config: Any, overrides: Any = None) -> Composition:
        """A configuration as the kernel composes it where only this dialect is installed."""
        return compose(config, overrides, Catalog.of({f"dialect.{self.name()}": self.plugin}))

    def translated(self) -> dict[str, Translation]:
        """The translations of the examples."""
        made = {name: self.translate(copy.deepcopy(dict(config))) for name, config in self.examples.items()}
        unread = [name for name, translation in made.items() if translation is None]
        assert not unread, f"examples that the dialect does not read: {', '.join(unread)}"
        return {name: translation for name, translation in made.items() if translation is not None}

    def test_needs_no_options(self) -> None:
        """A dialect is found by content, so nobody configures it."""
        assert self.plugin() is not None
        assert not self.options, "a dialect has no options that must be given"

    def test_claims(self) -> None:
        """`claims` are keys by which the program's configurations are known beside keys of ours; none is ours."""
        claims = getattr(self.plugin, "claims", None)
        assert isinstance(claims, frozenset) and all(isinstance(key, str) for key in claims), claims
        assert not claims & OURS, f"keys of ours: {', '.join(sorted(claims & OURS))}"

    def test_examples_become_ours(self) -> None:
        """Every example becomes a mapping of our keys for the right command, with nothing refused."""
        for name, made in self.translated().items():
            assert made.config and set(made.config) <= OURS, f"{name}: {sorted(set(made.config) - OURS)} are not ours"
            assert made.command == self.command
            refused = [note for note in made.notes if note.outcome == "refused"]
            assert not refused, f"{name}: {refused}"

    def test_sources_and_notes_name_what_is_there(self) -> None:
        """A source leads from a key of the translation to one of the example; a note has a reason."""
        for name, made in self.translated().items():
            for ours, theirs in made.sources.items():
                assert _has(made.config, Key.of(ours)), f"{name}: {ours} is not in the translation"
                there = isinstance(theirs, Origin) or _has(self.examples[name], Key.of(theirs))
                assert there, f"{name}: {theirs} is not in the example"
            assert made.sources, f"{name}: no value of the translation says where it came from"
            assert all(isinstance(note, Note) and note.reason.strip() for note in made.notes), made.notes

    def test_the_configuration_stays_as_it_is(self) -> None:
        """The hook does not change what it reads, and its answer holds nothing of it."""
        for name, config in self.examples.items():
            given = copy.deepcopy(dict(config))
            self.translate(given)
            assert given == config, name

    def test_what_is_ours_is_left(self) -> None:
        """A configuration of ours, and an empty one, are not read."""
        assert self.translate({}) is None
        assert self.translate({"model": {"path": "org/name"}, "adapter": {"rank": 8}, "seed": 1}) is None

    def test_a_key_that_the_program_does_not_know(self, tmp_path: Path) -> None:
        """It is refused, with its line."""
        for name, config in self.examples.items():
            made = self.compose(_written(tmp_path, {**config, _UNKNOWN: 1}))
            told = [problem for problem in made.problems if _UNKNOWN in problem.message]
            assert told, f"{name}: {_UNKNOWN} is taken in silence"
            assert f"x.yaml:{len(config) + 1}" in told[0].advice

    def test_values_have_their_lines(self, tmp_path: Path) -> None:
        """Composed from a file, each value that has a source has the line that it stands on there."""
        for name, config in self.examples.items():
            translation, made = self.translated()[name], self.compose(_written(tmp_path, config))
            lines = {key: number for number, key in enumerate(config, 1)}
            for ours, theirs in translation.sources.items():
                found = made.origins.get(Key.of(ours))
                line = theirs.line if isinstance(theirs, Origin) else lines[str(Key.of(theirs)[0])]
                assert found is None or found.line == line, f"{name}: {ours} is of {found}"

    def test_overrides_in_our_words(self, tmp_path: Path) -> None:
        """What is written in our words counts over the file."""
        for config in self.examples.values():
            made = self.compose(_written(tmp_path, config), ["seed=987"])
            assert (made.tree["seed"], made.command) == (987, self.command)

    def test_json_is_read_too(self) -> None:
        """A mapping that came from JSON, with lists and mappings of plain values, is read as the YAML is."""
        for name, config in self.examples.items():
            try:
                plain = json.loads(json.dumps(config))
            except TypeError:
                pytest.fail(f"{name} is not plain data")
            assert self.translate(plain) == self.translated()[name]


def _has(tree: Any, key: Key) -> bool:
    for part in key:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _written(folder: Path, config: Mapping[str, Any]) -> Path:
    """A file of one line for each key."""
    file = folder / "x.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()), encoding="utf-8")
    return file
