"""Batches of tokens of several answers, and the choice of the next token of each."""

from __future__ import annotations

import math

from tunesmith import TunesmithError
from tunesmith_library_llamacpp.context import Context, Entry
from tunesmith_library_llamacpp.sampling import Sampler

from .loading import Loaded
from .places import Places
from .rows import Row
from .scoring import log_prob_of


class Computation:
    """What the worker's thread does with the model. See `worker.Computing`.

    Args:
        sequences: answers that are computed together.
    """

    def __init__(self, loaded: Loaded, sequences: int) -> None:
        self._sequences = sequences
        self._running = 0
        self.open(loaded)

    def open(self, loaded: Loaded) -> None:
        """Compute with a model from now on."""
        self.loaded: Loaded | None = loaded
        self._adapter: str | None = None
        self._places = Places(self._sequences, loaded.tokens, loaded.context.forget)
        loaded.context.adapt(loaded.adapter(None))

    def close(self) -> None:
        """Let the model go."""
        if self.loaded is not None:
            self.loaded.close()
        self.loaded = None

    def alone(self, adapter: str | None) -> Loaded:
        """The model with an adapter, for a call; nothing is remembered of former answers."""
        self._places.forget_all()
        self._adapt(adapter)
        return self._at_hand

    # ---- the worker's

    def begin(self, row: Row) -> bool:
        adapter = row.request.adapter
        if self._running and adapter != self._adapter:
            return False  # an adapter acts on all that is computed, so requests for others take turns
        found = self._places.take(row.request.prompt, adapter, row.room)
        if found is None:
            return False
        self._adapt(adapter)
        row.sampler = Sampler(self._at_hand.model, row.sampling, row.request.prompt, row.seed)
        row.sequence, row.computed = found
        self._running += 1
        return True

    def step(self, rows: list[Row]) -> None:
        context = self._at_hand.context
        entries: list[Entry] = []
        asking: dict[int, Row] = {}  # by the place of the entry behind which an answer goes on
        for row in sorted(rows, key=lambda row: row.length - row.computed):  # those that go on, then prompts
            last = min(row.length, row.computed + context.batch - len(entries))
            for place in range(row.computed, last):
                entries.append(Entry(row.token(place), place, row.sequence, place == row.length - 1))
            if last == row.length and last > row.computed:
                asking[len(entries) - 1] = row
            row.computed = last
        context.decode(entries)
        for entry, row in asking.items():
            if not row.answer.ended and row.sampler:
                say(row, context, row.sampler, entry)

    def end(self, row: Row) -> None:
        computed = [row.token(place) for place in range(row.computed)]
        self._places.leave(row.sequence, computed)
        self._running -= 1
        if row.sampler:
            row.sampler.close()

    def lose(self) -> None:
        loaded = self._at_hand
        self._running = 0
        self._places = Places(self._sequences, loaded.tokens, loaded.context.forget)
        for sequence in range(self._sequences):
            loaded.context.forget(sequence)

    def _adapt(self, adapter: str | None) -> None:
        if adapter != self._adapter:
            self._at_hand.context.adapt(self._at_hand.adapter(adapter))
            self._adapter = adapter

    @property
    def _at_hand(self) -> Loaded:
        if self.loaded is None:
            raise TunesmithError("this engine has let its model go: it sleeps, or is closed")
        return self.loaded


def say(row: Row, context: Context, sampler: Sampler, entry: int) -> None:
    """Choose the next token of an answer, of those that its grammar allows; one that cannot go on fails alone.

    Args:
        entry: of the last batch, behind which the answer goes on.
    """
    logits, told, allowed = context.logits(entry), row.request.log_probs, None
    own = logits.copy() if told is not None and row.constraint else logits  # how likely the model alone has them
    if row.constraint is not None:
        try:
            allowed = row.constraint.allowed()
        except TunesmithError as error:
            row.answer.fail(error)
            return
        logits[~allowed] = -math.inf
    token = sampler.choose(context, entry)
    if allowed is not None and not allowed[token]:
        row.answer.fail(TunesmithError("the answer cannot go on: its grammar allows only what logit_bias forbids"))
        return
    row.push(token, None if told is None else log_prob_of(own, token, told))
