"""How far people agree who judged the same rows: Krippendorff's alpha, for any number of them and with gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .journal import Marks

_KINDS = ("rate", "label", "choose")


def agreement(marks: Iterable[Marks]) -> dict[str, Any]:
    """Of each kind of judgement that several people gave: rows, share of pairs that agree, and alpha (1 is perfect,
    0 what chance gives). Ratings count by their distance, other judgements as the same or not."""
    listed = list(marks)
    made = {}
    for kind in _KINDS:
        given = [[getattr(one, kind) for one in row.opinions.values()] for row in listed]
        units = [[value for value in values if value is not None] for values in given]
        shared = [values for values in units if len(values) > 1]
        if shared:
            made[kind] = {
                "rows": len(shared),
                "share": _pairs_that_agree(shared),
                "alpha": alpha(shared, squared=kind == "rate"),
            }
    return made


def by_author(marks: Mapping[int, Marks]) -> dict[str, int]:
    """How many rows each person judged or skipped."""
    return dict(Counter(author for row in marks.values() for author, one in row.opinions.items() if one.is_judged))


def _pairs_that_agree(units: list[list[Any]]) -> float:
    """The mean over rows of the share of their pairs that are the same."""
    shares = []
    for values in units:
        pairs = len(values) * (len(values) - 1)
        shares.append(sum(count * (count - 1) for count in Counter(values).values()) / pairs)
    return sum(shares) / len(shares)


def alpha(units: list[list[Any]], squared: bool) -> float | None:
    """Krippendorff's alpha (2004, ch. 11): 1 - observed / expected disagreement; None where all values are the same.

    Args:
        units: the values that each row was given, two or more.
        squared: whether values differ by the square of their distance, else by being others.
    """

    def apart(one: Any, other: Any) -> float:
        return float((one - other) ** 2) if squared else float(one != other)

    values = Counter(value for unit in units for value in unit)
    total = values.total()
    observed = sum(
        sum(count * others * apart(one, other) for one, count in here.items() for other, others in here.items())
        / (len(unit) - 1)
        for unit in units
        if (here := Counter(unit))
    )
    expected = sum(m * n * apart(one, other) for one, m in values.items() for other, n in values.items())
    return None if not expected else 1 - (total - 1) * observed / expected
