"""What becomes of records on their way to examples: how many are not trained on as they stand, and why, and how many
tokens the others have.

Formats and stages count while they work, a batch at a time and in several processes; whoever reads a whole data set
collects the counts, and says them once, of all its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

MESSAGES = (
    "{tokens} tokens, {trained} of them trained ({share})",
    "{cut} rows cut ({share})",
    "{cut} rows cut ({share}), which lose {removed} tokens",
    "the longest row has {longest}: {place}",
    "data {name}: {count} of {records} {what}",
    "data {name}: {count} of {records} {what}; the first is {place}",
)
"""What `Sizes.of` and `Share.of` say, for catalogues of other languages."""


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
class Sizes:
    """How many tokens rows have."""

    tokens: int = 0  # of the examples
    trained: int = 0  # of those, what is learned
    cut: int = 0  # rows that are trained without some of their tokens
    removed: int = 0  # tokens of those rows that are in no example
    longest: int = 0  # tokens of the longest row, before it was cut
    place: str = ""  # of that row: `my.jsonl, line 7`

    def add(self, other: Sizes) -> None:
        """Add other rows'; of two that are as long the first one's place stays."""
        if other.longest > self.longest:
            self.longest, self.place = other.longest, other.place
        self.tokens, self.trained = self.tokens + other.tokens, self.trained + other.trained
        self.cut, self.removed = self.cut + other.cut, self.removed + other.removed

    def of(self, records: int) -> str:
        """All of it in words, with shares of the tokens and of all records."""
        trained = f", {self.trained:,} of them trained ({self.trained / self.tokens:.1%})" if self.trained else ""
        cut = f"{self.cut:,} rows cut ({self.cut / max(records, 1):.1%})"
        cut += f", which lose {self.removed:,} tokens" if self.removed else ""
        longest = f"the longest row has {self.longest:,}" + (f": {self.place}" if self.place else "")
        return f"{self.tokens:,} tokens{trained}; {cut}; {longest}"


@dataclass
class Tally:
    """Counts by what is the matter; sizes; and how many rows each of the user's rules holds something of."""

    shares: dict[str, Share] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=Sizes)
    matches: dict[str, int] = field(default_factory=dict)

    def count(self, share: Share) -> None:
        """Add to what was counted; the first place and advice that were given stay."""
        known = self.shares.setdefault(share.what, Share(share.what, 0, share.lost))
        known.count += share.count
        known.first, known.advice = known.first or share.first, known.advice or share.advice

    def match(self, rule: str, rows: int) -> None:
        """Add to the rows that a rule holds something of; one that holds nothing is remembered, too."""
        self.matches[rule] = self.matches.get(rule, 0) + rows

    def add(self, shares: Iterable[Share]) -> None:
        """Add another tally's shares."""
        for share in shares:
            self.count(share)

    def merge(self, other: Tally) -> None:
        """Add all of another tally."""
        self.add(other.shares.values())
        self.sizes.add(other.sizes)
        for rule, rows in other.matches.items():
            self.match(rule, rows)

    @property
    def lost(self) -> int:
        """How many records give no example."""
        return sum(share.count for share in self.shares.values() if share.lost)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON has it, for `from_json`."""
        shares = [vars(share) for share in self.shares.values()]
        return {"shares": shares, "sizes": vars(self.sizes), "matches": self.matches}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tally:
        """What `to_json` gave."""
        tally = cls(sizes=Sizes(**value["sizes"]), matches=dict(value["matches"]))
        tally.add(Share(**share) for share in value["shares"])
        return tally


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


def measure(sizes: Sizes) -> bool:
    """Add the sizes of rows. Returns: whether somebody collects them."""
    tally = _current.get()
    if tally is not None:
        tally.sizes.add(sizes)
    return tally is not None


def match(rule: str, rows: int) -> bool:
    """Count the rows that a rule of the user's holds something of. Returns: whether somebody collects it."""
    tally = _current.get()
    if tally is not None:
        tally.match(rule, rows)
    return tally is not None
