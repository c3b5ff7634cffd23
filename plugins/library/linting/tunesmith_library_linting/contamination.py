"""How much of what a model is measured on stands in its training data, by runs of words (n-grams).

Brown et al. 2020, "Language Models are Few-Shot Learners" (arXiv 2005.14165, appendix C: runs of 13 words, of all the
words of a shorter text, 8 at least); shares and a threshold for them as in Chowdhery et al. 2022, PaLM (arXiv
2204.02311, section 8). Characters of languages that are written without spaces count as words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .findings import Item
from .similarity import Hashes, runs_of, words_of
from .texts import everything, whole

FEWEST = 8
"""Words of an example, below which it is like others by chance."""
_ROWS = 3  # training rows that are named of an example


@dataclass(frozen=True)
class Example:
    """An example that a model is measured on, and what of it is trained."""

    data: str
    row: int  # which record of its set, counted from 1
    place: str  # in the file: `line 7`
    runs: int  # runs of words that it has
    found: int  # of them, how many a training row has
    rows: tuple[str, ...]  # the training rows that have the most of them first: `row 7 of train.json`
    text: str

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.found / self.runs


@dataclass(frozen=True)
class Overlap:
    """A set that a model is measured on, and how much of it is trained."""

    examples: tuple[Example, ...]
    short: int  # examples with too few words to tell

    @property
    def touched(self) -> int:
        """Examples of which a run is trained."""
        return sum(example.found > 0 for example in self.examples)

    @property
    def mean(self) -> float:
        """Share of its runs that are trained, the mean over examples."""
        return sum(example.share for example in self.examples) / max(len(self.examples), 1)

    def over(self, threshold: float) -> list[Example]:
        """The examples of which at least this share is trained, the most first."""
        return sorted((it for it in self.examples if it.share >= threshold), key=lambda it: (-it.share, it.row))


class Contamination:
    """Looks for examples in training rows: first all examples, then the rows."""

    def __init__(self, run: int = 13) -> None:
        """
        Args:
            run: words that are the same in a row; an example with fewer is one run.
        """
        self._run = run
        self._short: Counter[str] = Counter()
        self._items: list[tuple[str, int, str, str]] = []
        self._runs: list[Hashes] = []  # of each example, as often as they stand in it
        self._index: dict[int, tuple[Hashes, NDArray[np.int64]]] = {}  # by length: runs in order, first row with each
        self._lengths: list[int] = []
        self._rows: list[tuple[str, int]] = []

    def measured_on(self, items: Sequence[Item]) -> None:
        """Look for these examples from now on; of records without a canonical row all texts."""
        for item in items:
            text = whole(item.content) if item.content is not None else "\n".join(everything(item.record))
            words = words_of(text)
            if len(words) < min(FEWEST, self._run):
                self._short[item.data] += 1
                continue
            length = min(self._run, len(words))
            self._lengths.append(length)
            self._runs.append(runs_of(words, length))
            self._items.append((item.data, item.row, item.place, text))
        self._index.clear()

    def look(self, items: Sequence[Item]) -> None:
        """Look for the examples in training rows."""
        if not self._index:
            for length in sorted(set(self._lengths)):
                runs = [found for found, of in zip(self._runs, self._lengths, strict=True) if of == length]
                hashes = np.unique(np.concatenate(runs))
                self._index[length] = hashes, np.full(len(hashes), -1, np.int64)
        rows = [item for item in items if item.content is not None]
        words = [words_of(whole(item.content or {})) for item in rows]
        first = len(self._rows)
        self._rows += [(item.data, item.row) for item in rows]
        for length, (hashes, seen) in self._index.items():
            runs = [runs_of(each, length) for each in words]
            if not sum(map(len, runs)):
                continue
            numbers = np.repeat(np.arange(first, len(self._rows)), [len(each) for each in runs])
            joined = np.concatenate(runs)
            places = np.searchsorted(hashes, joined)
            hits = np.flatnonzero(hashes[np.minimum(places, len(hashes) - 1)] == joined)
            unseen = hits[seen[places[hits]] < 0][::-1]  # of several rows the first is kept: it is written last
            seen[places[unseen]] = numbers[unseen]

    def overlaps(self) -> dict[str, Overlap]:
        """What was found, by evaluation set."""
        examples: dict[str, list[Example]] = {name: [] for name in self._short}
        for (data, row, place, text), runs, length in zip(self._items, self._runs, self._lengths, strict=True):
            hashes, seen = self._index.get(length, (runs[:0], np.zeros(0, np.int64)))
            rows = seen[np.searchsorted(hashes, runs)] if len(hashes) else np.full(len(runs), -1)
            found = rows[rows >= 0]
            most = [self._rows[number] for number, _ in Counter(found.tolist()).most_common(_ROWS)]
            named = tuple(f"row {number} of {name}" for name, number in most)
            examples.setdefault(data, []).append(Example(data, row, place, len(runs), len(found), named, text))
        return {name: Overlap(tuple(found), self._short[name]) for name, found in examples.items()}
