"""What is known of all runs, kept from one look to the next, and from one server to the next."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict

from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.locks import IN_FOLDER

from tunesmith_library_studio.runs.facts import Facts, facts_of
from tunesmith_library_studio.runs.folders import Place, places
from tunesmith_library_studio.workspace import Workspace

_FILE = "runs.json"
_LAYOUT = 1  # of that file; another number is not read
_PAUSE = 10.0  # seconds between two times that it is written


class Index:
    """The runs of a workspace; a folder in which nothing changed is not read again."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._lock = workspace, threading.Lock()
        self._known: dict[str, Facts] | None = None
        self._written = 0.0

    def look(self) -> list[tuple[Place, Facts]]:
        """All runs as they are now, in the order of their names."""
        with self._lock:
            known = self._read() if self._known is None else self._known
            found = [(place, self._facts(place, known.get(place.name))) for place in places(self._workspace)]
            now = {place.name: facts for place, facts in found}
            settled = any(
                known.get(place.name) is not facts and IN_FOLDER not in place.entries for place, facts in found
            )
            self._known = now
            if (settled or len(now) != len(known)) and time.monotonic() - self._written > _PAUSE:
                self._write(now)
        return found

    def one(self, place: Place) -> Facts:
        """What is known of one run."""
        with self._lock:
            known = self._read() if self._known is None else self._known
            facts = self._facts(place, known.get(place.name))
            self._known = {**known, place.name: facts}
        return facts

    def _facts(self, place: Place, before: Facts | None) -> Facts:
        return before if before and before.mark == place.mark else facts_of(place, before)

    def _read(self) -> dict[str, Facts]:
        return dict(self._kept())

    def _kept(self) -> Iterator[tuple[str, Facts]]:
        file = self._workspace.runs / ".studio" / _FILE
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            told = json.loads(file.read_text(encoding="utf-8"))
            for name, facts in (told["runs"] if told["layout"] == _LAYOUT else {}).items():
                if found := Facts.of(facts):
                    yield name, found

    def _write(self, known: dict[str, Facts]) -> None:
        self._written = time.monotonic()
        told = {"layout": _LAYOUT, "runs": {name: asdict(facts) for name, facts in known.items()}}
        with contextlib.suppress(OSError), replacing(self._workspace.state / _FILE) as draft:  # it is only quicker so
            draft.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
