"""Ranges of numbers, declared beside a field: `rank: Annotated[int, at_least(1)] = 8`.

A value out of its range is a problem of the plan; help, reference and JSON Schema show the range. Numbers that are not
finite are in no range.
"""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MESSAGES = (  # what `str` of a range can be
    *("at least {low}", "above {low}", "at most {high}", "below {high}", "from {low} to {high}"),
    "at least {low} and below {high}",
    *("above {low} and at most {high}", "above {low} and below {high}"),
)


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; None is unbounded."""

    low: float | None = None
    high: float | None = None
    low_excluded: bool = False
    high_excluded: bool = False

    def __contains__(self, value: float) -> bool:
        if not (isinstance(value, int) or math.isfinite(value)):
            return False
        above = self.low is None or value > self.low or (value == self.low and not self.low_excluded)
        below = self.high is None or value < self.high or (value == self.high and not self.high_excluded)
        return above and below

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'above' if self.low_excluded else 'at least'} {_number(self.low)}"
        high = "" if self.high is None else f"{'below' if self.high_excluded else 'at most'} {_number(self.high)}"
        if low and high and not (self.low_excluded or self.high_excluded):
            return f"from {_number(self.low or 0)} to {_number(self.high or 0)}"
        return " and ".join(part for part in (low, high) if part)

    def json_schema(self) -> dict[str, float]:
        """The keywords that JSON Schema has for it."""
        ends = {
            "exclusiveMinimum" if self.low_excluded else "minimum": self.low,
            "exclusiveMaximum" if self.high_excluded else "maximum": self.high,
        }
        return {name: value for name, value in ends.items() if value is not None}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else f"{value:g}"


def above(low: float, most: float | None = None) -> Range:
    """Numbers greater than `low`, up to `most`."""
    return Range(low=low, high=most, low_excluded=True)


def at_least(low: float, most: float | None = None) -> Range:
    """`low` and everything above it, up to `most`."""
    return Range(low=low, high=most)


def below(high: float) -> Range:
    """Numbers less than `high`."""
    return Range(high=high, high_excluded=True)


def between(low: float, high: float) -> Range:
    """`low`, `high`, and everything between them; write `Range(...)` where an end does not belong to it."""
    return Range(low=low, high=high)


def range_of(annotation: Any) -> Range | None:
    """The range that a type declares: its own, or that of what it is a list, mapping or optional form of."""
    if typing.get_origin(annotation) is typing.Annotated:
        declared = (item for item in annotation.__metadata__ if isinstance(item, Range))
        return next(declared, None) or range_of(annotation.__origin__)
    return next(filter(None, map(range_of, _inner(annotation))), None)


def _inner(annotation: Any) -> tuple[Any, ...]:
    holds = (list, dict, tuple, typing.Union, types.UnionType)
    return typing.get_args(annotation) if typing.get_origin(annotation) in holds else ()


def numbers_in(value: Any, key: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], float]]:
    """The numbers of a value that may be a list or mapping of them, each with its key inside the value."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from numbers_in(item, (*key, name))


def outside(thing: Any) -> dict[str, tuple[Any, Range]]:
    """The fields of a dataclass's instance whose value is out of the range that they declare, and that range."""
    allowed = _ranges_of(thing.__class__)
    values = {name: (getattr(thing, name), within) for name, within in allowed.items()}
    return {
        name: (value, within) for name, (value, within) in values.items() if value is not None and value not in within
    }


@functools.cache
def _ranges_of(cls: type) -> dict[str, Range]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: allowed for name, hint in hints.items() if (allowed := range_of(hint)) is not None}
