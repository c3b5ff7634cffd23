"""How long rows are, in whatever unit is asked for, and which are too long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .findings import Finding, Item
from .texts import everything, text_of, threads

Measure = Callable[[Sequence[str]], Sequence[int]]
"""The lengths of texts."""


def characters(texts: Sequence[str]) -> list[int]:
    """How many characters each text has."""
    return [len(text) for text in texts]


@dataclass(frozen=True)
class Lengths:
    """The lengths of a data set's rows."""

    unit: str
    values: np.ndarray  # (rows,) int64
    longest: str  # where the longest row is

    def to_json(self) -> dict[str, Any]:
        """Total, quantiles and a histogram; empty of no rows."""
        if not len(self.values):
            return {"unit": self.unit, "rows": 0}
        quantiles = {f"p{q}": int(np.percentile(self.values, q)) for q in (50, 90, 95, 99)}
        total, most = int(self.values.sum()), int(self.values.max())
        return {
            "unit": self.unit,
            "rows": len(self.values),
            "total": total,
            "mean": round(total / len(self.values), 1),
            **quantiles,
            "max": most,
            "longest": self.longest,
            "histogram": [{"up_to": edge, "rows": rows} for edge, rows in self.histogram()],
        }

    def histogram(self) -> list[tuple[int, int]]:
        """How many rows are up to a power of two long, and longer than the one before."""
        if not len(self.values):
            return []
        exponents = np.ceil(np.log2(np.maximum(self.values, 1))).astype(int)
        low, high = int(exponents.min()), int(exponents.max())
        return [(2**exponent, int((exponents == exponent).sum())) for exponent in range(low, high + 1)]


class TooLong:
    """Rows over a length, and the lengths of all.

    A row is as long as its longest conversation: that of a pair's longer answer.

    Args:
        unit: what is counted, in words: `tokens`.
        measure: counts it.
        most: the length that rows may have; None allows any.
    """

    name: ClassVar[str] = "too_long"
    says: ClassVar[str] = "the row is longer than --max-length"
    mends: ClassVar[str] = ""

    def __init__(self, unit: str = "characters", measure: Measure = characters, most: int | None = None) -> None:
        self.unit, self._measure, self._most = unit, measure, most
        self._lengths: dict[str, list[int]] = {}
        self._longest: dict[str, tuple[int, str]] = {}

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        texts = [_texts(item) for item in items]
        flat = [text for several in texts for text in several]
        lengths = iter(self._measure(flat))
        for item, several in zip(items, texts, strict=True):
            if item.content is None:
                continue
            length = max((next(lengths) for _ in several), default=0)
            self._lengths.setdefault(item.data, []).append(length)
            if length > self._longest.get(item.data, (-1, ""))[0]:
                self._longest[item.data] = length, item.place
            if self._most is not None and length > self._most:
                message = f"{length:,} {self.unit}, of which {self._most:,} are allowed"
                file = str(item.file or "")
                yield Finding(self.name, "warning", message, item.data, item.row, item.place, file)

    def finish(self) -> Iterator[Finding]:
        return iter(())

    def lengths(self, data: str) -> Lengths:
        """The lengths of a data set's rows."""
        longest = self._longest.get(data, (0, ""))[1]
        return Lengths(self.unit, np.array(self._lengths.get(data, []), np.int64), longest)


def _texts(item: Item) -> list[str]:
    """What is measured of a row: each of its conversations, with thoughts and calls, and the tools before it."""
    row = item.content
    if row is None:
        return []
    if isinstance(row.get("text"), str):
        return [row["text"]]
    tools = "\n".join(everything(row.get("tools")))
    return ["\n".join([tools, *map(_said, messages)]).strip() for messages in threads(row).values()]


def _said(message: Any) -> str:
    calls = "\n".join(everything(message.get("tool_calls")))
    return "\n".join(part for part in (str(message.get("reasoning") or ""), text_of(message), calls) if part)
