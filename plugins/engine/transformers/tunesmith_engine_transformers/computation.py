"""What the engine's thread does between two calls: a part of the prompts that wait, and a token of every batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from .batch import Batch
from .caching import Kept
from .forwarding import Forward
from .prefixes import Known, Prefixes
from .prompts import Prompts
from .rows import Row
from .weights import Acting

_TURN = 4  # tokens of a batch before one of another adapter has its turn: changing it costs as much as a small step
_PUT_OFF = 8  # parts of prompts that rows which run wait for, at most


class Computation:
    """Rows of several adapters, each a batch of its own.

    Args:
        forward: of a model whose rows can join (`Forward.why_not`).
        ends: the tokens that end every answer.
        context_length: see `Engine.context_length`.
        prefix_cache: tokens that are kept of answers that have ended.
    """

    def __init__(self, forward: Forward, ends: Collection[int], context_length: int | None, prefix_cache: int) -> None:
        self.forward, self._ends = forward, ends
        self.acting = Acting(forward.model)
        self._holds = forward.new_cache().holds
        self.prefixes = Prefixes(prefix_cache, self._holds)
        self._reuses = prefix_cache > 0
        self._prompts = Prompts(forward, ends, context_length, self._holds, self._find)
        self._batches: dict[tuple[str | None, int], Batch] = {}  # by adapter, and row that must be alone
        self._begun = False
        self._put_off = 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of prompts that need not be computed, since they were there."""
        return self._prompts.cached_tokens

    def begin(self, row: Row) -> None:
        """Let a row take part from the next step on."""
        self._prompts.add(row)

    def step(self) -> None:
        """Compute a part of the prompts that wait, and a token of the rows that run.

        A token of few rows takes nearly as long as one of many: those that run wait for others, though not for long,
        where each part brings a quarter as many.
        """
        self._compute_prompts()
        running = sum(len(batch.rows) for batch in self._batches.values())
        if self._put_off < _PUT_OFF and 4 * self._prompts.joining > running:
            self._put_off += 1
            return
        self._put_off = 0
        for key, batch in list(self._batches.items()):
            self._compute(batch.rows, lambda: self._turn(key[0], batch), key)  # noqa: B023
            if not batch.rows:
                self._batches.pop(key, None)

    def idle(self) -> None:
        """Let the model be as it was opened, while there is nothing to do."""
        self.acting.adapter(None)

    def lose(self) -> None:
        """Forget everything, rows and what is kept."""
        self._prompts.lose()
        self._batches = {}
        self.prefixes.forget()

    def _compute_prompts(self) -> None:
        rows = self._prompts.begin()
        if not rows:
            return
        adapter = rows[0].request.adapter
        ready = self._compute(rows, lambda: self._advanced(adapter))
        if ready is not None:
            key = (adapter, id(rows[0]) if self.forward.stands_alone(rows[0]) else 0)
            batch = self._batches.setdefault(key, Batch(self.forward, self._ends, self._left))
            join = (ready.cache, ready.places, ready.rows, ready.scores, ready.positions)
            self._compute([*batch.rows, *ready.rows], lambda: batch.join(*join), key)

    def _advanced(self, adapter: str | None) -> Any:
        if not self._begun:
            self._begun = True
            self.forward.check_states()
        self.acting.adapter(adapter)
        return self._prompts.advance()

    def _turn(self, adapter: str | None, batch: Batch) -> None:
        self.acting.adapter(adapter)
        for _ in range(1 if len(self._batches) == 1 else _TURN):
            batch.step()

    def _compute(self, rows: Sequence[Row], function: Callable[[], Any], key: Any = None) -> Any:
        """Do something for rows; what goes wrong is told to them, and to nobody else.

        Args:
            key: of the batch that is lost then; without, the prompts that are computed are lost.
        """
        concerned = list(rows)
        try:
            return function()
        except BaseException as error:
            for row in concerned:
                row.answer.fail(error)
            if key is None:
                self._prompts.lose()
            else:
                self._batches.pop(key, None)
        return None

    # ---- what is known of prompts

    def _find(self, adapter: str | None, prompt: tuple[int, ...]) -> Known:
        if not self._reuses:
            return Known()
        kept = self.prefixes.find(adapter, prompt)
        batch = self._batches.get((adapter, 0))
        running = batch.find(prompt, self._holds) if batch else Known()
        return max(kept, running, key=lambda known: known.count)

    def _left(self, row: Row, count: int, kept: Callable[[], Kept]) -> None:
        """Keep what was computed of a row that leaves; tensors of its own would not be known by its tokens."""
        if not row.request.inputs and not self.forward.stands_alone(row):
            self.prefixes.keep(row.request.adapter, row.ids[:count], kept)
