"""Which of two models answered better, as people found: kept line by line, and counted."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

Winner = Literal["left", "right", "tie", "neither"]

_Z = 1.959963984540054  # of the normal distribution, for 95 % between both ends


class Votes:
    """A file of votes, which only grows."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def add(self, left: str, right: str, winner: Winner, **more: Any) -> dict[str, Any]:
        """Keep a vote.

        Args:
            left: the one model, as it was named when it was loaded; `right` the other one.
            more: what else is kept of it: whether names were hidden, the messages, the answers.
        """
        vote = {"time": time.time(), "left": left, "right": right, "winner": winner, **more}
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(vote, ensure_ascii=False) + "\n")
        return vote

    def all(self) -> Iterator[dict[str, Any]]:
        """All votes, the oldest first; a line that was not written to its end is passed over."""
        if not self.file.is_file():
            return
        with self.file.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def table(self, *, blind: bool = False) -> list[dict[str, Any]]:
        """A row for each two models that were compared: see `standing`; those with the most votes first.

        Args:
            blind: count only votes that were cast with the names hidden.
        """
        counts: dict[tuple[str, str], Counter[str]] = {}
        for vote in self.all():
            if blind and not vote.get("blind"):
                continue
            left, right = vote["left"], vote["right"]
            swapped = left > right
            pair = (right, left) if swapped else (left, right)
            turned = {"left": "right", "right": "left"} if swapped else {}
            counts.setdefault(pair, Counter())[turned.get(vote["winner"], vote["winner"])] += 1
        rows = [standing(*pair, count) for pair, count in counts.items()]
        return sorted(rows, key=lambda row: -row["votes"])


def standing(first: str, second: str, count: Mapping[str, int]) -> dict[str, Any]:
    """How two models stand: `wins` of each, `ties`, `neither`, and the share of wins of the first one.

    `rate` is of the votes that chose one of them, `low` and `high` Wilson's interval of 95 % around it (1927,
    doi 10.1080/01621459.1927.10502953), `p` that of the two-sided sign test; None without such votes.
    """
    wins, losses = count["left"], count["right"]
    decided = wins + losses
    row: dict[str, Any] = {
        "first": first,
        "second": second,
        "votes": sum(count.values()),
        "wins": wins,
        "losses": losses,
        "ties": count["tie"],
        "neither": count["neither"],
    }
    if not decided:
        return row | {"rate": None, "low": None, "high": None, "p": None}
    rate, square = wins / decided, _Z**2 / decided
    middle = (rate + square / 2) / (1 + square)
    reach = math.sqrt(rate * (1 - rate) * square + square**2 / 4) / (1 + square)
    tail = sum(math.comb(decided, k) for k in range(min(wins, losses) + 1)) / 2**decided
    return row | {"rate": rate, "low": middle - reach, "high": middle + reach, "p": min(1.0, 2 * tail)}
