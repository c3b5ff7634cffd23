"""A translation of another program's configuration while it is made: our keys, what each came from, and notes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from tunesmith_library_configuration.secrets import redacted
from tunesmith_library_configuration.spreading import Spread
from tunesmith_library_configuration.translation import Note


class Draft:
    """Our configuration, filled key by key.

    Args:
        written: the foreign configuration.
        defaults: the program's own, of keys that are not written.
    """

    def __init__(self, written: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.written = written
        self.config: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.notes: list[Note] = []
        self._defaults = defaults

    def get(self, key: str) -> Any:
        """The value of a foreign key, its default where it is not written."""
        return self.written.get(key, self._defaults.get(key))

    def put(self, ours: str, value: Any, theirs: str) -> None:
        """Set a key of ours, `trainer.learning_rate`, that comes from a foreign one."""
        node = self.config
        *path, last = ours.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
        if theirs in self.written:
            self.sources[ours] = theirs

    def note(
        self, key: str, outcome: Literal["translated", "dropped", "refused"], reason: str, advice: str = ""
    ) -> None:
        """Say what became of a key; nothing where the user did not write it, unless it is refused."""
        if key in self.written or outcome == "refused":
            self.notes.append(Note(key, outcome, reason, advice))

    def say(self, key: str, reason: str) -> None:
        """Say what a key means that may not be written."""
        note = Note(key, "translated", reason)
        if note not in self.notes:
            self.notes.append(note)

    def mapping(self, key: str, value: Any) -> dict[str, Any] | None:
        """A value as a mapping, also one that is written as JSON; None, and a refusal, for anything else."""
        try:
            read = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            read = value
        if isinstance(read, Mapping):
            return dict(read)
        self.refuse(key, "it is no mapping.")
        return None

    def spread(self, made: Spread) -> None:
        """Put in how a model is spread over processes, and what is said of that."""
        for ours, value in made.options.items():
            self.put(ours, value, made.sources[ours].partition(".")[0])
        for key, reason in made.dropped:
            self.notes.append(Note(key, "dropped", reason))
        for key, reason, advice in made.refused:
            self.notes.append(Note(key, "refused", reason, advice))

    def refuse(self, key: str, reason: str, advice: str = "") -> None:
        """Say that a value cannot be had; one that is a secret is not shown."""
        shown = redacted({key: self.get(key)})[key]
        self.note(key, "refused", f"{shown!r} cannot be had: {reason}", advice)
