"""Logged numbers as columns: 12 bytes a number, so that a run of 100,000 logged steps takes some 14 MB."""

from __future__ import annotations

import math
import operator
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from tunesmith_library_plotting.reading import RESUMED, THEIRS, seconds

_PLACES = ("step", "current_steps")
_NO_METRICS = frozenset({"event", "total_steps", "percentage", "remaining_time", RESUMED})
_LARGEST = 2**32 - 1  # step that a column has room for


class Column:
    """One metric: its steps, which rise, and its values, which are finite."""

    def __init__(self) -> None:
        self.steps, self.values = array("I"), array("d")
        self.skipped = 0  # values that were logged and are no finite numbers

    def __len__(self) -> int:
        return len(self.steps)

    def extend(self, steps: Sequence[int], values: Sequence[Any]) -> None:
        """Add values behind those that are there; what is no finite number is counted."""
        try:
            numbers = array("d", values)
        except (TypeError, OverflowError):
            numbers = array("d", (_number(value) for value in values))
        if not all(map(math.isfinite, numbers)):
            kept = [(step, number) for step, number in zip(steps, numbers, strict=True) if math.isfinite(number)]
            self.skipped += len(numbers) - len(kept)
            steps, numbers = [step for step, _ in kept], array("d", (number for _, number in kept))
        if len(numbers) and self.steps and self.steps[-1] >= steps[0]:
            self.cut(steps[0])
        self.steps.extend(steps)
        self.values.extend(numbers)

    def cut(self, step: int) -> None:
        """Forget a step and all behind it."""
        at = bisect_left(self.steps, step)
        del self.steps[at:], self.values[at:]


class Columns(dict[str, Column]):
    """All metrics of a run by name, ours for those that others call otherwise.

    Of `time` the pauses are taken out between a stop of the run and the moment at which it went on.
    """

    def __init__(self, state: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.rows: int = state.get("rows", 0)  # records that were taken
        self.last_step: int = state.get("last_step", 0)
        self.total_steps: int | None = state.get("total_steps")
        self.rewound: int = state.get("rewound", 0)  # times that a run went on from an earlier step
        # the first step behind each pause, and the seconds of all until then
        self._pauses: list[tuple[int, float]] = [(first, total) for first, total in state.get("pauses", ())]

    def state(self) -> dict[str, Any]:
        """All but the numbers, as JSON has it, to begin with again."""
        names = ("rows", "last_step", "total_steps", "rewound")
        return {**{name: getattr(self, name) for name in names}, "pauses": self._pauses}

    @property
    def bytes(self) -> int:
        """Of memory."""
        return sum(12 * len(column) for column in self.values())

    def paused(self, step: int) -> float:
        """Seconds of pauses before a step."""
        return next((total for first, total in reversed(self._pauses) if first <= step), 0.0)

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records, in the order in which they were logged.

        A record of an earlier step than the last one is of a run that went on from there: what was logged behind that
        step is forgotten. Records without a step are passed over.
        """
        for names, group in groupby(records, key=tuple):
            place = next((name for name in _PLACES if name in names), None)
            if place is not None:
                rows = list(group)
                for part in self._rising(rows, place):
                    self._add(names, part, place)

    def _rising(self, rows: list[Mapping[str, Any]], place: str) -> Iterator[list[Mapping[str, Any]]]:
        """The rows whole where their steps rise, as they do in general; else one by one."""
        steps = [row[place] for row in rows]
        if {*map(type, steps)} == {int} and min(steps) >= 0 and max(steps) <= _LARGEST:
            if steps[0] >= self.last_step and all(map(operator.lt, steps, steps[1:])):
                yield rows
                return
            yield from ([row] for row in rows)
        else:
            yield from ([row] for row in rows if type(row[place]) is int and 0 <= row[place] <= _LARGEST)

    def _add(self, names: tuple[str, ...], rows: list[Mapping[str, Any]], place: str) -> None:
        columns = dict(zip(names, zip(*(row.values() for row in rows), strict=True), strict=True))
        steps = columns.pop(place)
        if steps[0] < self.last_step:
            self._rewind(steps[0])
        total = columns.get("total_steps", (None,))[-1]
        self.total_steps = total if type(total) is int else self.total_steps
        if RESUMED in columns:
            self._pause(steps[0], columns[RESUMED][0])
        paused = self.paused(steps[0])
        for name, values in columns.items():
            if name == "elapsed_time":
                name, values = "time", tuple(seconds(str(value)) for value in values)
            if name in _NO_METRICS or (isinstance(values[0], str) and all(isinstance(each, str) for each in values)):
                continue
            if name == "time" and paused:
                values = tuple(_number(value) - paused for value in values)
            self.setdefault(THEIRS.get(name, name), Column()).extend(steps, values)
        self.rows, self.last_step = self.rows + len(rows), steps[-1]

    def _pause(self, step: int, resumed: Any) -> None:
        """Note that a run went on at a moment, in seconds since 1970, and that this is its first step after it."""
        times, before = self.get("time"), self.paused(step)
        if times and isinstance(resumed, int | float):
            self._pauses.append((step, before + max(0.0, resumed - before - times.values[-1])))

    def _rewind(self, step: int) -> None:
        """Forget a step and all behind it, for it was made again."""
        self.rewound += 1
        self._pauses = [(first, total) for first, total in self._pauses if first < step]
        for column in self.values():
            column.cut(step)


def _number(value: Any) -> float:
    """What is no number, such as the null that stands for one in JSON, is not finite."""
    return float(value) if isinstance(value, int | float) and not abs(value) > 1e308 else math.nan
