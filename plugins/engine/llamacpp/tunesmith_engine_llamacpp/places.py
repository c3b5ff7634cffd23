"""The places of answers in llama.cpp's memory, and what of former ones is still there: a conversation that goes on is
not computed anew. Nothing here computes; what is to be forgotten is told to the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Forget = Callable[[int, int], bool]
"""(sequence, position) -> whether what the sequence has from there on could be forgotten, and no more than that."""


@dataclass
class _Place:
    remembered: list[int]  # the tokens that the memory has
    adapter: str | None = None  # with which they were computed
    reserved: int = 0  # tokens that are kept for the answer that is computed; 0: it is free
    used: int = 0  # when it was last taken


class Places:
    """Which answer has which sequence of the memory.

    Args:
        count: of sequences.
        tokens: that the memory has room for, of all together.
    """

    def __init__(self, count: int, tokens: int, forget: Forget) -> None:
        self._places = [_Place([]) for _ in range(count)]
        self._tokens, self._forget = tokens, forget
        self._taken = 0

    def take(self, prompt: Sequence[int], adapter: str | None, room: int) -> tuple[int, int] | None:
        """Find a place for an answer, the one that remembers most of its prompt.

        What others remember, whose answers have ended, makes room for it, the oldest first.

        Args:
            room: tokens that the prompt and its answer may come to have.

        Returns: the sequence, and how many tokens of the prompt it has; None when others have to end first.
        """
        free = [number for number, place in enumerate(self._places) if not place.reserved]
        if not free or sum(place.reserved for place in self._places) + room > self._tokens:
            return None
        known = {number: self._known(self._places[number], prompt, adapter) for number in free}
        chosen = max(free, key=lambda number: (known[number], -len(self._places[number].remembered)))
        place, common = self._places[chosen], known[chosen]
        if common < len(place.remembered) and not self._forget(chosen, common):
            self._forget(chosen, 0)
            common = 0
        self._taken += 1
        place.remembered, place.adapter = list(prompt[:common]), adapter
        place.reserved, place.used = room, self._taken
        self._make_room(free, chosen)
        return chosen, common

    def leave(self, sequence: int, computed: Sequence[int]) -> None:
        """Free the place of an answer that has ended; the memory goes on to have these tokens."""
        place = self._places[sequence]
        place.remembered, place.reserved = list(computed), 0

    def forget_all(self) -> None:
        """Forget all that is remembered of answers that have ended."""
        for sequence, place in enumerate(self._places):
            if not place.reserved:
                self._clear(sequence)

    def _make_room(self, free: Sequence[int], chosen: int) -> None:
        others = sorted((number for number in free if number != chosen), key=lambda number: self._places[number].used)
        for number in others:
            if sum(max(place.reserved, len(place.remembered)) for place in self._places) <= self._tokens:
                return
            self._clear(number)

    def _clear(self, sequence: int) -> None:
        self._forget(sequence, 0)
        self._places[sequence].remembered = []

    def _known(self, place: _Place, prompt: Sequence[int], adapter: str | None) -> int:
        """How many tokens of a prompt a place remembers; the last is always computed, for what is said behind it."""
        if place.adapter != adapter:
            return 0
        most = min(len(place.remembered), len(prompt) - 1)
        return next((at for at in range(most) if place.remembered[at] != prompt[at]), most)
