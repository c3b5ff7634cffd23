"""Where logged steps are on other axes: of tokens, of time, of epochs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Literal, get_args

from tunesmith_library_plotting.reading import TOKENS

from tunesmith_library_studio.watching.columns import Column, Columns

Axis = Literal["step", "tokens", "time", "epoch"]


@dataclass(frozen=True)
class Places:
    """Where the steps of a run are on an axis: the sum of some columns, from an origin on."""

    columns: tuple[Column, ...]  # one at least, none of them empty
    origin: float = 0.0

    def of(self, step: float) -> float:
        """A step's place; that of the last known step before it where it has none of its own."""
        return sum(_at(column, step) for column in self.columns) - self.origin

    def first_at(self, place: float) -> int:
        """The first step that is at a place, or behind it."""
        steps = max(self.columns, key=len).steps
        at = bisect_left(steps, place, key=self.of)
        return steps[at] if at < len(steps) else steps[-1] + 1


def axes_of(columns: Columns) -> list[str]:
    """The axes over which a run's curves can be drawn."""
    return [axis for axis in get_args(Axis) if axis == "step" or places_of(columns, axis)]


def places_of(columns: Columns, axis: str) -> Places | None:
    """The places of steps on an axis; None for that of steps, and where the run does not know them.

    Time is in seconds since the first logged step, without the pauses in which the run was stopped. Tokens are those of
    all sets together where they are counted apart.
    """
    if axis == "step":
        return None
    if axis == "tokens":
        sets = [column for name, column in columns.items() if name.startswith("tokens_of_") and len(column)]
        whole = [columns[name] for name in TOKENS if name in columns and len(columns[name])]
        return Places(tuple(sets or whole[:1])) if sets or whole else None
    column = columns.get(axis)
    if column is None or not len(column):
        return None
    return Places((column,), column.values[0] if axis == "time" else 0.0)


def _at(column: Column, step: float) -> float:
    return column.values[max(0, bisect_right(column.steps, step) - 1)]
