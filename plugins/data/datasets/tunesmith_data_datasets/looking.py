"""How many records text files have, and how long they are, by a look that takes no time: a guess."""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.working import spread_of

from . import compressed
from .entries import Entry
from .reading import read_records, rows_of_table, suffix_of

LOOKED_AT = 200  # records
_WHOLE, _BLOCKS, _BLOCK = 2**26, 16, 2**20  # bytes of a file that is read as a whole; of others so many blocks
_WIDE = 0x2E80  # from this character on scripts are written without spaces: Chinese, Japanese, Korean …
# characters to a token, of vocabularies of 100,000 and more on conversations; of smaller ones fewer
_CHARACTERS, _WIDE_CHARACTERS = 4.2, 1.5
_TURN = 12  # tokens that templates add to a record
_ALL, _SMALL = 5_000, 2**22  # records that are all looked at, and bytes of their files
_MOST_ADDED, _MOST_OF_TEXT = 64, 8  # tokens that templates add to a record, and to a text of it, at most
_MORE_THAN_TEXT = ("image", "video", "audio", "tool", "function")  # columns, and marks, of what becomes other tokens


@dataclass(frozen=True)
class Looked:
    """What a look at files tells."""

    records: int | None  # None where that takes reading them
    tokens: float  # of a record on average
    spread: tuple[int, ...]  # of records that stand for all
    # of the longest records, at most, in one sequence; () where not all were looked at, or texts do not tell
    most: tuple[int, ...] = ()


def look_into(files: Sequence[Path], entry: Entry, most: int | None) -> Looked | None:
    """Guess how many records files have, and how many tokens; None where there is nothing to see.

    Args:
        most: tokens of an example, at most.

    Raises: DataError where a file cannot be read.
    """
    taken = itertools.chain.from_iterable(read_records(file, entry.sample_by, LOOKED_AT) for file in files)
    sample = list(itertools.islice(taken, LOOKED_AT))
    if not sample:
        return None
    lengths = [min(tokens_in(record), most or 2**62) for record in sample]
    counts = [_count(file, entry, sample[0]) for file in files]
    known = [count for count in counts if count is not None]
    total = max(sum(known), len(sample)) if len(known) == len(counts) else None
    spread = spread_of(Counter(map(round, lengths)))
    return Looked(total, sum(lengths) / len(lengths), spread, _most_of(files, entry))


def _most_of(files: Sequence[Path], entry: Entry) -> tuple[int, ...]:
    """Tokens that the longest records have at most, the longest first.

    Raises: DataError where a file cannot be read.
    """
    if sum(file.stat().st_size for file in files) > _SMALL:
        return ()
    taken = itertools.chain.from_iterable(read_records(file, entry.sample_by, _ALL + 1) for file in files)
    found = [most_tokens_in(record) for record in itertools.islice(taken, _ALL + 1)]
    known = [most for most in found if most is not None]
    return tuple(heapq.nlargest(256, known)) if len(known) == len(found) <= _ALL else ()


def tokens_in(record: Any) -> float:
    """Tokens of the texts of a record."""
    wide = plain = 0
    for text in _texts(record):
        of_text = 0 if text.isascii() else sum(ord(character) >= _WIDE for character in text)
        wide, plain = wide + of_text, plain + len(text) - of_text
    return _TURN + plain / _CHARACTERS + wide / _WIDE_CHARACTERS


def most_tokens_in(record: Any) -> int | None:
    """Tokens that a sequence of a record has at most; None of one that has more than its texts."""
    if _has_more(record):
        return None
    return math.ceil(_MOST_ADDED + sum(_MOST_OF_TEXT + _most_of_text(text) for text in _texts(record)))


def _most_of_text(text: str) -> float:
    """Tokens of a text, at most, for vocabularies of 32,000 and more.

    One for two characters, one for a digit, and one for each byte that a character has beside its first in UTF-8, as
    vocabularies have it that do not know its script.
    """
    digits = sum(map(text.count, "0123456789"))
    further = 0 if text.isascii() else len(text.encode("utf-8", "replace")) - len(text)
    return (len(text) + digits) / 2 + further


def _has_more(value: Any) -> bool:
    if isinstance(value, Mapping):
        named = any(inner and part in str(key).lower() for key, inner in value.items() for part in _MORE_THAN_TEXT)
        return named or any(map(_has_more, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_more, value))
    return isinstance(value, str) and any(f"<{part}" in value for part in _MORE_THAN_TEXT)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _count(file: Path, entry: Entry, first: dict[str, Any]) -> int | None:
    """Records of a file; None where that takes unpacking it."""
    suffix = suffix_of(file)
    if compressed.without_suffix(file) != file:
        return None
    if suffix in (".parquet", ".arrow"):
        return rows_of_table(file)
    if suffix == ".txt" and entry.sample_by == "document":
        return 1
    if suffix != ".json":
        return round(_occurrences(file, b"\n")) - (suffix in (".csv", ".tsv"))
    key = json.dumps(next(iter(first), "")).encode()  # within a text its quotes would be escaped
    own = json.dumps(first).encode().count(key + b":") or 1
    return round(_occurrences(file, key) / own)


def _occurrences(file: Path, what: bytes) -> float:
    """How often something stands in a file; of a large one by blocks of it."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        if size <= _WHOLE:
            return opened.read().count(what)
        found = 0
        for number in range(_BLOCKS):
            opened.seek(number * (size - _BLOCK) // (_BLOCKS - 1))
            found += opened.read(_BLOCK).count(what)
    return found * size / (_BLOCKS * _BLOCK)
