"""What becomes of records on their way to examples: how many are not trained on as they stand, and why.

Formats and stages count while they work, a batch at a time and in several processes; whoever reads a whole data set
collects the counts, and says them once, of all its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Share:
    """The records that something is the matter with."""

    what: str  # behind their number: `are over 2048 tokens and lose their end (stage.max_length)`
    count: int = 0
    lost: bool = False  # whether they give no example
    first: str = ""  # where the first of them is, if that is known: `line 7`
    advice: str = ""  # what to do where nothing else is left

    def of(self, records: int) -> str:
        """The share of all records, in words."""
        where = f"; the first is {self.first}" if self.first else ""
        return f"{self.count:,} of {records:,} {self.what}{where}"


@dataclass
class Tally:
    """Counts by what is the matter."""

    shares: dict[str, Share] = field(default_factory=dict)

    def count(self, share: Share) -> None:
        """Add to what was counted; the first place and advice that were given stay."""
        known = self.shares.setdefault(share.what, Share(share.what, 0, share.lost))
        known.count += share.count
        known.first, known.advice = known.first or share.first, known.advice or share.advice

    def add(self, shares: Iterable[Share]) -> None:
        """Add another tally's shares."""
        for share in shares:
            self.count(share)

    @property
    def lost(self) -> int:
        """How many records give no example."""
        return sum(share.count for share in self.shares.values() if share.lost)

    def to_json(self) -> list[dict[str, Any]]:
        """The shares as JSON has them, for `Share(**item)`."""
        return [vars(share) for share in self.shares.values()]


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tallying() -> Iterator[Tally]:
    """Collect what is counted meanwhile, in this thread."""
    tally = Tally()
    token = _current.set(tally)
    try:
        yield tally
    finally:
        _current.reset(token)


def count(what: str, number: int = 1, *, lost: bool = False, first: str = "", advice: str = "") -> bool:
    """Count records that something is the matter with, see `Share`.

    Returns: whether somebody collects it; else it is for the caller to say.
    """
    tally = _current.get()
    if tally is not None and number:
        tally.count(Share(what, number, lost, first, advice))
    return tally is not None
