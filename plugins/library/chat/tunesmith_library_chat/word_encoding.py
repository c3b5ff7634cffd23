"""The tokens of a text that were put together from those of its words."""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence

ID = array("i").itemsize  # bytes of a token's id

Cut = Iterator[tuple[int, int, list[tuple[int, int]]]]
"""Of each word of a text its first character, how many tokens are before it, and the offsets of its own in it."""


class WordEncoding:
    """The tokens of a text, as `tokenizers.Encoding` has them.

    Args:
        words_of: says what the words of a text without added tokens are.
        parts: of the text: what is between added tokens, and at the odd places these.
        pieces: the ids of each, in 32 bits.
        prefix, suffix: ids of tokens that the tokenizer puts around texts.
    """

    def __init__(
        self,
        words_of: Callable[[str], Cut],
        parts: Sequence[str],
        pieces: Sequence[bytes],
        prefix: bytes = b"",
        suffix: bytes = b"",
    ) -> None:
        self._words_of, self._parts, self._pieces = words_of, parts, pieces
        self._prefix = len(prefix) // ID
        self._bytes = b"".join((prefix, *pieces, suffix))
        self._starts: list[int] = []
        self._tokens: list[int] = []
        self._asked = -1  # the part of which the words were looked for last
        self._found: list[tuple[int, int, list[tuple[int, int]]]] = []
        self._rest: Cut = iter(())

    @property
    def ids(self) -> list[int]:
        """The token ids."""
        return array("i", self._bytes).tolist()

    def __len__(self) -> int:
        return len(self._bytes) // ID

    def _measure(self) -> None:
        self._starts = list(itertools.accumulate(map(len, self._parts), initial=0))
        bytes_before = itertools.accumulate(map(len, self._pieces), initial=self._prefix * ID)
        self._tokens = [length // ID for length in bytes_before]

    def _words(self, index: int) -> Cut:
        """The words of a part, looked for as far as they are asked for; who asks for one asks for others, too."""
        if self._asked != index:
            self._asked, self._found, self._rest = index, [], self._words_of(self._parts[index])
        yield from self._found
        for word in self._rest:
            self._found.append(word)
            yield word

    def char_to_token(self, character: int) -> int | None:
        """The first token that holds a character; None for one behind the text."""
        if not self._starts:
            self._measure()
        if not 0 <= character < self._starts[-1]:
            return None
        index = bisect.bisect_right(self._starts, character) - 1
        if index % 2 or character == self._starts[index]:
            return self._tokens[index]
        place = character - self._starts[index]
        for start, token, offsets in self._words(index):
            if place < start + offsets[-1][1]:
                inside = next(number for number, (_, end) in enumerate(offsets) if place < start + end)
                return self._tokens[index] + token + inside
        return None

    def token_to_chars(self, token: int) -> tuple[int, int] | None:
        """The characters of a token, end exclusive; None for one that the tokenizer puts around texts."""
        if not self._starts:
            self._measure()
        if not self._prefix <= token < self._tokens[-1]:
            return None
        index = bisect.bisect_right(self._tokens, token) - 1
        begins = self._starts[index]
        if index % 2:
            return begins, begins + len(self._parts[index])
        wanted = token - self._tokens[index]
        for start, before, offsets in self._words(index):
            if wanted < before + len(offsets):
                first, last = offsets[wanted - before]
                return begins + start + first, begins + start + last
        return None
