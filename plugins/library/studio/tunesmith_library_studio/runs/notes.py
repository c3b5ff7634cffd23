"""Tags and notes that a user gave to runs; kept beside them, so that a run's own files stay as they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.locks import locked

from tunesmith_library_studio.runs.facts import read_json

_FILE = "notes.json"
_MOST_TAGS, _LONGEST_TAG, _LONGEST_NOTES = 50, 60, 100_000  # characters
_PATIENCE = 5.0  # seconds for which another server may be writing


class Notes:
    """Those of all runs, by their names.

    Args:
        state: the folder in which the file is.
    """

    def __init__(self, state: Path) -> None:
        self._file, self._lock = state / _FILE, threading.Lock()

    def all(self) -> dict[str, Any]:
        """By name: `tags`, `notes`."""
        return {name: note for name, note in read_json(self._file).items() if isinstance(note, dict)}

    def set(self, name: str, tags: Sequence[str] | None, notes: str | None) -> None:
        """Note something about a run; None leaves what is there.

        Raises: TunesmithError for more, or longer ones, than anybody reads.
        """
        given = {"tags": None if tags is None else _tags(tags), "notes": notes}
        if notes is not None and len(notes) > _LONGEST_NOTES:
            raise TunesmithError(f"notes have at most {_LONGEST_NOTES:,} characters; these have {len(notes):,}.")

        def change(all_notes: dict[str, Any]) -> None:
            own = {**all_notes.get(name, {}), **{key: value for key, value in given.items() if value is not None}}
            all_notes[name] = own

        self._change(change)

    def move(self, name: str, to: str) -> None:
        """Have a run's notes under another name."""

        def change(all_notes: dict[str, Any]) -> None:
            if name in all_notes:
                all_notes[to] = all_notes.pop(name)

        self._change(change)

    def forget(self, name: str) -> Mapping[str, Any]:
        """Take a run's notes away; gives them."""
        taken: dict[str, Any] = {}

        def change(all_notes: dict[str, Any]) -> None:
            taken.update(all_notes.pop(name, {}))

        self._change(change)
        return taken

    def _change(self, change: Any) -> None:
        with self._lock, locked(self._file.with_name(f".{_FILE}.lock"), self._file, "notes", patience=_PATIENCE):
            found = self.all()
            change(found)
            with replacing(self._file) as draft:
                draft.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")


def _tags(written: Sequence[str]) -> list[str]:
    tags = list(dict.fromkeys(tag.strip() for tag in written if tag.strip()))
    long = next((tag for tag in tags if len(tag) > _LONGEST_TAG), None)
    if long or len(tags) > _MOST_TAGS:
        raise TunesmithError(f"a run has at most {_MOST_TAGS} tags of {_LONGEST_TAG} characters each.")
    return tags
