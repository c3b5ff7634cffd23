"""What was computed of answers that have ended, for prompts that begin alike: conversations that go on, and prompts
that share their instructions or examples. The oldest goes first when there is too much of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .caching import Kept, copied, longest_common
from .columns import Part

Holds = Callable[[int, int], bool]
"""(tokens of a row, count) -> whether its first `count` can be taken (`RowCache.holds`)."""


@dataclass(frozen=True)
class Known:
    """The beginning of a prompt that need not be computed."""

    count: int = 0  # its tokens
    kept: Kept = ()


@dataclass(eq=False)
class _Entry:
    adapter: str | None
    tokens: tuple[int, ...]
    kept: Kept


class Prefixes:
    """Beginnings of prompts, by adapter.

    Args:
        limit: tokens that are kept of all together; 0 keeps none.
    """

    def __init__(self, limit: int, holds: Holds) -> None:
        self._limit, self._holds = limit, holds
        self._entries: list[_Entry] = []  # the one that was used last is last

    def keep(self, adapter: str | None, tokens: Sequence[int], kept: Callable[[], Kept]) -> None:
        """Remember a row that has ended.

        Args:
            kept: gives what is known of its tokens, as views that are copied.
        """
        new = tuple(tokens)
        if not 0 < len(new) <= self._limit or self._covered(adapter, new):
            return
        if self._holds(len(new), len(new) - 1):  # what can be cut holds the shorter ones too
            self._entries = [
                entry for entry in self._entries if entry.adapter != adapter or entry.tokens != new[: len(entry.tokens)]
            ]
        self._entries.append(_Entry(adapter, new, copied(kept())))
        while sum(len(entry.tokens) for entry in self._entries) > self._limit:
            self._entries.pop(0)

    def find(self, adapter: str | None, prompt: tuple[int, ...]) -> Known:
        """The longest beginning of a prompt that is known; its last token is always computed."""
        best, entry = 0, None
        for each in self._entries:
            if each.adapter == adapter:
                count = usable(each.tokens, prompt, self._holds)
                if count > best:
                    best, entry = count, each
        if entry is None:
            return Known()
        self._entries.remove(entry)
        self._entries.append(entry)
        return Known(best, cut(entry.kept, len(entry.tokens), best))

    def forget(self) -> None:
        """Forget all: the weights are others."""
        self._entries = []

    def _covered(self, adapter: str | None, new: tuple[int, ...]) -> bool:
        """Whether an entry begins with these tokens, and can be cut to them; it counts as used."""
        for entry in self._entries:
            length = len(entry.tokens)
            if entry.adapter == adapter and entry.tokens[: len(new)] == new and self._holds(length, len(new)):
                self._entries.remove(entry)
                self._entries.append(entry)
                return True
        return False


def usable(tokens: tuple[int, ...], prompt: tuple[int, ...], holds: Holds) -> int:
    """How many of a prompt's tokens can be taken from a row of these tokens."""
    count = min(longest_common(tokens, prompt), len(prompt) - 1)
    return count if count and holds(len(tokens), count) else 0


def cut(kept: Kept, length: int, count: int) -> Kept:
    """The first `count` tokens of what is kept of `length` (`RowCache.holds`), as views."""
    if count == length:
        return kept
    return tuple(Part(_first(part.keys, count), _first(part.values, count)) for part in kept)


def _first(of: Any, count: int) -> Any:
    return None if of is None else of[:, :, :count]
