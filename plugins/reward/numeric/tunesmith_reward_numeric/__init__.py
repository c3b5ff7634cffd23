"""Answers that come to the right number, as in GSM8K (arXiv 2110.14168) and MATH (arXiv 2103.03874)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import at_least, between, filled

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_PLAIN = rf"(?:{_DIGITS})(?:[eE][-+]?\d+)?"
_NUMBER = re.compile(
    rf"(?P<sign>[-−+]?)[$€£]?(?:"
    rf"\\[dt]?frac\{{(?P<above>[-−]?(?:{_PLAIN}))\}}\{{(?P<below>{_PLAIN})\}}"
    rf"|(?P<number>{_PLAIN})(?:\s?/\s?(?P<divisor>{_PLAIN}))?)"
)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")


@plugin
class Numeric:
    r"""1 for an answer whose number is the expected one, else 0.

    The number of a text is the last one in its last `\boxed{…}`, else the last one at all: 1,234.5, -3e4, 2/3,
    \frac{2}{3}.
    """

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    column: Annotated[str, filled] = "answer"  # of the row, with the expected number or a text that ends with it
    # how far from the expected number, as a share of it
    tolerance: Annotated[float, at_least(0, most=1_000_000)] = 1e-6
    absolute_tolerance: Annotated[float, at_least(0, most=1_000_000)] = 1e-9  # how far from it in any case

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [self._right(answer, row) for answer, row in zip(completions, rows, strict=True)]

    def _right(self, answer: str, row: Mapping[str, Any]) -> float:
        value = row.get(self.column)
        if value is None:
            found = ", ".join(sorted(row)) or "no columns"
            raise DataError(
                f"reward.numeric: a row has no {self.column}; it has {found}.\n"
                f"  keep the file's column: data.train=[{{path: FILE, keep: [{self.column}]}}], or set .column"
            )
        expected = number_of(str(value))
        if expected is None:
            raise DataError(f"reward.numeric: there is no number in the column {self.column}: {str(value)[:80]!r}")
        said = number_of(answer)
        near = said is not None and math.isclose(
            said, expected, rel_tol=self.tolerance, abs_tol=self.absolute_tolerance
        )
        return float(near)


def number_of(text: str) -> float | None:
    """The number that a text comes to; None when there is none."""
    boxed = _BOXED.findall(text)
    found = list(_NUMBER.finditer(boxed[-1] if boxed else text))
    if not found:
        return None
    match, last = found[-1], found[-1]["sign"]
    # "5-3" is a difference, not the number -3
    negative = last in ("-", "−") and not (match.start() and match.string[match.start() - 1].isalnum())
    try:
        above, below = _value(match["above"] or match["number"]), _value(match["below"] or match["divisor"] or "1")
        return (-1 if negative else 1) * above / below
    except (ZeroDivisionError, OverflowError):
        return None


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))
