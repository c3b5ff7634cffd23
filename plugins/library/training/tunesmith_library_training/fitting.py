"""Which rows are trained once they are tokenised, and what is said of the others: too long, or with nothing to learn.

Every row is an example or counted as left out, once. Free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunesmith.types import Row
from tunesmith_library_formats import Sizes, measure

from tunesmith_library_training.encoding import Encoded
from tunesmith_library_training.rows import warn_once

Longer = Literal["cut", "turns", "cut_prompt", "drop"]
_LOSE = {
    "turns": "the turns that do not fit whole",
    "cut_prompt": "what they can of their prompt, else the end of an answer",
}

MESSAGES = (_LOSE, "their end")
"""What rows lose, for catalogues of other languages."""


@dataclass(frozen=True)
class Fitting:
    """What becomes of rows that are too long, and in whose name it is said."""

    most: int  # tokens of a sequence
    longer: Longer
    stage: str
    said: set[str]  # see `rows.warn_once`
    learned: str = "token to learn"  # what a row is trained for

    def kept(self, rows: Sequence[Row], sequences: Sequence[Sequence[Encoded]]) -> list[int]:
        """The indices of the rows that are trained; the others are counted, and so are those that were cut.

        Args:
            sequences: of each row, such as a chosen and a rejected answer; already cut where they are to be.
        """
        found, kept = _Found(), []
        for index, (row, group) in enumerate(zip(rows, sequences, strict=True)):
            longest = max(item.length for item in group)
            if longest > self.most and self.longer == "drop":
                found.dropped.append(row)
            elif not all(item.trained for item in group):
                (found.emptied if longest > self.most else found.empty).append(row)
            else:
                kept.append(index)
                if longest > self.most:
                    found.cut.append(row)
                if any(item.unfinished for item in group):
                    found.unfinished.append(row)
        self._say(rows, found)
        measure_rows(rows, sequences, kept)
        return kept

    def _say(self, rows: Sequence[Row], found: _Found) -> None:
        def say(which: list[Row], what: str, lost: bool) -> None:
            warn_once(self.said, self.stage, len(which), rows, what, lost=lost, first=place_of(which))

        limit = f"are over {self.most} tokens"
        say(found.cut, f"{limit} and lose {_LOSE.get(self.longer, 'their end')} (stage.max_length)", lost=False)
        say(found.unfinished, "end within an answer, whose beginning is trained, and no end of it", lost=False)
        say(found.dropped, f"{limit} and are left out (stage.max_length)", lost=True)
        say(
            found.emptied, f"{limit}, have no {self.learned} among the first, and are left out (stage.max_length)", True
        )
        say(found.empty, f"have no {self.learned} and are left out", lost=True)


@dataclass
class _Found:
    """Rows by what becomes of them."""

    cut: list[Row] = field(default_factory=list)
    unfinished: list[Row] = field(default_factory=list)
    dropped: list[Row] = field(default_factory=list)
    emptied: list[Row] = field(default_factory=list)
    empty: list[Row] = field(default_factory=list)


def place_of(rows: Sequence[Row]) -> str:
    """Where the first of some rows is from, `my.jsonl, line 7`, if it knows that."""
    return str(getattr(rows[0], "where", "")) if rows else ""


def measure_rows(rows: Sequence[Row], sequences: Sequence[Sequence[Encoded]], kept: Sequence[int]) -> None:
    """Count the tokens of rows, of which some are kept."""
    sizes = Sizes()
    for row, group in zip(rows, sequences, strict=True):
        length = max(item.length for item in group)
        if length > sizes.longest:
            sizes.longest, sizes.place = length, place_of([row])
    for group in (sequences[index] for index in kept):
        tokens, length = (sum(len(item["input_ids"]) for item in group), sum(item.length for item in group))
        sizes.tokens, sizes.trained = sizes.tokens + tokens, sizes.trained + sum(item.trained for item in group)
        sizes.cut, sizes.removed = sizes.cut + (length > tokens), sizes.removed + length - tokens
    measure(sizes)
