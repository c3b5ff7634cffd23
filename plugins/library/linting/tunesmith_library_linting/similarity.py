"""Texts that are alike: MinHash (Broder 1997) for near duplicates, runs of words for texts that hold others.

Both work on hashes of runs of words, made by numpy for a whole text at a time. Characters of languages that are written
without spaces count as words.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

PERMUTATIONS = 128
"""Hashes of a signature; the similarity that two of them give has a standard error of at most 0.044."""
_BANDS = 16  # rows alike by 0.85 meet in a band with a probability of 0.99, by 0.5 with 0.06
_SHINGLE = 3  # words
_FEWEST = 8  # shingles of a text that can be nearly like another one
_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힣]|[^\W_]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, 2**64 over the golden ratio


def digest_of(text: str) -> bytes:
    """The same for texts that differ in case and white space alone."""
    return hashlib.blake2b(" ".join(text.lower().split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def words_of(text: str) -> Hashes:
    """A hash for each word of a text, in order: (words,)."""
    return np.fromiter(map(_word, _WORD.findall(text.lower())), np.uint64)


@lru_cache(maxsize=1 << 17)
def _word(word: str) -> int:
    encoded = word.encode("utf-8", "surrogatepass")
    return zlib.crc32(encoded) << 32 | zlib.adler32(encoded)


def runs_of(words: Hashes, length: int) -> Hashes:
    """A hash for each run of `length` words: (words - length + 1,), empty for a shorter text."""
    count = len(words) - length + 1
    if count <= 0:
        return words[:0]
    made = np.zeros(count, np.uint64)
    for offset in range(length):  # Horner's rule modulo 2**64
        made = (made ^ words[offset : offset + count]) * _MIX
        made ^= made >> np.uint64(29)
    return made


class MinHash:
    """Signatures of texts: the share in which two agree estimates the Jaccard similarity of their shingles."""

    def __init__(self, seed: int = 0) -> None:
        numbers = np.random.default_rng(seed)
        self._factors = numbers.integers(0, 2**63, (PERMUTATIONS, 1), np.uint64) | np.uint64(1)
        self._offsets = numbers.integers(0, 2**63, (PERMUTATIONS, 1), np.uint64)

    def signature(self, text: str) -> NDArray[np.uint32] | None:
        """(PERMUTATIONS,) of a text, None for one that is too short to be told from others."""
        shingles = np.unique(runs_of(words_of(text), _SHINGLE))
        if len(shingles) < _FEWEST:
            return None
        least = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, np.uint32)
        for start in range(0, len(shingles), 4096):  # so that a book does not take 128 times its size
            permuted = (self._factors * shingles[start : start + 4096] + self._offsets) >> np.uint64(32)
            least = np.minimum(least, permuted.min(axis=1).astype(np.uint32))
        return least


def pairs(signatures: NDArray[np.uint32], threshold: float) -> dict[int, tuple[int, float]]:
    """For texts that are nearly like an earlier one: that one, and how similar they are.

    Args:
        signatures: (texts, PERMUTATIONS).
        threshold: the least similarity, from 0 to 1.
    """
    found: dict[int, tuple[int, float]] = {}
    width = PERMUTATIONS // _BANDS
    for band in range(_BANDS):
        keys = runs_of_columns(signatures[:, band * width : (band + 1) * width])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        first = order[np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))]
        follows = np.flatnonzero(np.r_[False, ordered[1:] == ordered[:-1]])
        for others in (first[follows], order[follows - 1]):
            _note(found, order[follows], others, signatures, threshold)
    return found


def runs_of_columns(columns: NDArray[np.uint32]) -> Hashes:
    """One hash for each row of a table: (rows,)."""
    made = np.zeros(len(columns), np.uint64)
    for column in columns.T:
        made = (made ^ column.astype(np.uint64)) * _MIX
        made ^= made >> np.uint64(29)
    return made


def _note(
    found: dict[int, tuple[int, float]],
    texts: NDArray[np.intp],
    others: NDArray[np.intp],
    signatures: NDArray[np.uint32],
    threshold: float,
) -> None:
    """Add the pairs that are alike; of several an earlier text is kept."""
    for start in range(0, len(texts), 65536):
        some, earlier = texts[start : start + 65536], others[start : start + 65536]
        similarity = (signatures[some] == signatures[earlier]).mean(axis=1)
        for index in np.flatnonzero(similarity >= threshold):
            text, other = int(some[index]), int(earlier[index])
            if text not in found or other < found[text][0]:
                found[text] = other, float(similarity[index])


class Held:
    """Texts that are looked for in others: how much of each is found there, by runs of words."""

    def __init__(self, run: int, fewest: int) -> None:
        """
        Args:
            run: words of a run; a shorter text is one run.
            fewest: words of a text that is looked for; shorter ones are said by chance.
        """
        self._run, self._fewest = run, fewest
        self._sizes: list[int] = []  # runs of each text
        self._parts: dict[int, list[tuple[Hashes, int]]] = {}  # by the length of the runs
        self._sorted: dict[int, tuple[Hashes, NDArray[np.int64]]] = {}

    def add(self, text: str) -> int | None:
        """Look for a text from now on. Returns: its number, None for one that is too short."""
        words = words_of(text)
        if len(words) < self._fewest:
            return None
        length = min(self._run, len(words))
        runs = np.unique(runs_of(words, length))
        self._sizes.append(len(runs))
        self._parts.setdefault(length, []).append((runs, len(self._sizes) - 1))
        self._sorted.clear()
        return len(self._sizes) - 1

    def within(self, text: str) -> Iterator[tuple[int, float]]:
        """The numbers of the texts that are found in one, and the share of each, from 0 to 1."""
        words = words_of(text)
        for length in self._parts:
            hashes, numbers = self._index(length)
            runs = np.unique(runs_of(words, length))
            low, high = np.searchsorted(hashes, runs, "left"), np.searchsorted(hashes, runs, "right")
            hits = [numbers[a:b] for a, b in zip(low[high > low], high[high > low], strict=True)]
            if hits:
                found, counts = np.unique(np.concatenate(hits), return_counts=True)
                yield from (
                    (int(number), int(count) / self._sizes[number]) for number, count in zip(found, counts, strict=True)
                )

    def _index(self, length: int) -> tuple[Hashes, NDArray[np.int64]]:
        if length not in self._sorted:
            hashes = np.concatenate([runs for runs, _ in self._parts[length]])
            numbers = np.concatenate([np.full(len(runs), number) for runs, number in self._parts[length]])
            order = np.argsort(hashes, kind="stable")
            self._sorted[length] = hashes[order], numbers[order]
        return self._sorted[length]


def best(found: Iterable[tuple[int, float]]) -> tuple[int, float] | None:
    """The text of which the most was found."""
    return max(found, key=lambda pair: pair[1], default=None)
