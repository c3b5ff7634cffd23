"""The topic `runs`: that a run appeared, changed or went."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from tunesmith_library_studio.runs.rows import Row
from tunesmith_library_studio.topics import Message

_TOPIC = "runs"
_SHARE = 0.02  # of a processor that looking may take: a thousand runs are looked at less often than ten


class RunsWatcher:
    """Looks at all runs.

    Args:
        rows: gives their rows as they are now.
        share: of the time that looking may take.
    """

    def __init__(self, rows: Callable[[], Sequence[Row]], share: float = _SHARE) -> None:
        self._rows, self._share, self._next = rows, share, 0.0
        self._seen = self._now()

    def first(self) -> list[Message]:
        """How many there are, type `runs`: a newcomer asks for the page of them that it shows."""
        return [Message(_TOPIC, "runs", {"total": len(self._seen)})]

    def changes(self) -> list[Message]:
        """Rows of type `added` and `changed`; `removed` has the name alone."""
        if time.monotonic() < self._next:
            return []
        before, self._seen = self._seen, self._now()
        found = []
        for name, (mark, row) in self._seen.items():
            if name not in before:
                found.append(Message(_TOPIC, "added", row))
            elif before[name][0] != mark:
                found.append(Message(_TOPIC, "changed", row))
        return [*found, *(Message(_TOPIC, "removed", {"name": name}) for name in before if name not in self._seen)]

    def _now(self) -> dict[str, tuple[str, Row]]:
        began = time.monotonic()
        found = {row["name"]: (_mark(row), row) for row in self._rows()}
        ended = time.monotonic()
        self._next = ended + (ended - began) * (1 / self._share - 1)
        return found


def _mark(row: Row) -> str:
    """What a change is told by: all but the seconds, which pass by themselves."""
    return json.dumps({**row, "seconds": None}, default=str)
