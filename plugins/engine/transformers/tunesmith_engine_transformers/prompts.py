"""Prompts that wait for their first token: which of them are computed next, and how."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from tunesmith.messages import announce

from .caching import RowCache
from .forwarding import Forward
from .generating import generate_batch
from .prefilling import Prefill, Prompt, together
from .prefixes import Holds, Known
from .rows import Row

Find = Callable[[str | None, tuple[int, ...]], Known]
"""(adapter, prompt) -> how much of it is known."""

_CHUNK, _CHUNK_ON_CPU = 4096, 512  # tokens that are computed while others wait for their next token
_WORK = 2**36  # products that a CPU computes meanwhile, which bounds the tokens for large models
_FEWEST = 32  # tokens for which the weights are worth reading


@dataclass(frozen=True)
class Ready:
    """Rows whose prompts have been computed: what `Batch.join` takes."""

    adapter: str | None
    cache: RowCache
    places: list[int]
    rows: list[Row]
    scores: Any
    positions: Any


class Prompts:
    """The queue of prompts, and those of them that are computed.

    Args:
        ends: the tokens that end every answer.
        context_length: see `Engine.context_length`.
    """

    def __init__(
        self, forward: Forward, ends: Collection[int], context_length: int | None, holds: Holds, find: Find
    ) -> None:
        self.cached_tokens = 0
        self._forward, self._ends, self._context_length = forward, ends, context_length
        self._holds, self._find = holds, find
        self._waiting: list[Row] = []
        self._current: Prefill | list[Row] | None = None  # rows: they cannot join others, or not yet
        self._exact = forward.new_cache().has_states
        on_cpu = forward.device.type == "cpu"
        self._chunk = min(_CHUNK_ON_CPU, max(forward.tokens(_WORK), _FEWEST)) if on_cpu else _CHUNK
        self._joins = self._joins_inputs = True
        self._proved = False  # whether the model has computed a prompt with our cache

    def add(self, row: Row) -> None:
        """Let a row wait for its turn."""
        self._waiting.append(row)

    @property
    def joining(self) -> float:
        """How many rows get their first token by each part that is computed, about."""
        if isinstance(self._current, Prefill):
            return len(self._current.rows) / self._current.parts
        tokens = sum(len(row.request.prompt) for row in self._waiting)
        return len(self._waiting) / max(tokens / self._chunk, 1)

    def begin(self) -> list[Row]:
        """Choose whose prompts are computed next, if there are not some already.

        Returns: the rows that wait for them.
        """
        if all(row.answer.ended for row in self._computed):
            self._current = self._chosen()
        return self._computed

    @property
    def _computed(self) -> list[Row]:
        return self._current.rows if isinstance(self._current, Prefill) else self._current or []

    def advance(self) -> Ready | None:
        """Compute the next part; what is ready leaves."""
        if not isinstance(self._current, Prefill):
            rows, self._current = self._current or [], None
            return self._alone(rows)
        prefill = self._current
        try:
            scores = prefill.advance()
        except Exception as error:
            if self._proved or isinstance(error, torch.OutOfMemoryError):
                raise
            self._give_up(prefill, str(error) or type(error).__name__)
            return None
        if scores is None:
            return None
        if not prefill.filled:
            self._give_up(prefill, "the model has a cache of its own")
            return None
        self._current, self._proved = None, True
        self.cached_tokens += prefill.cached_tokens
        prefill.tell()
        places = [place for place, prompt in enumerate(prefill.prompts) for _ in prompt.rows]
        lengths = [len(prompt.tokens) for prompt in prefill.prompts for _ in prompt.rows]
        positions = torch.tensor(lengths, device=scores.device)[:, None] - 1
        adapter = prefill.rows[0].request.adapter
        return Ready(adapter, prefill.cache, places, prefill.rows, scores[places], positions)

    def _give_up(self, prefill: Prefill, reason: str) -> None:
        """Compute whole answers from now on: the model does not compute with a cache that is not its own."""
        self._current, self._joins = None, False
        self._waiting = [*prefill.rows, *self._waiting]
        announce("engine", "answers in batches that others cannot join", reason)

    def lose(self) -> None:
        """Forget what is computed now."""
        self._current = None

    def _chosen(self) -> Prefill | list[Row] | None:
        self._waiting = [row for row in self._waiting if not row.answer.ended]
        if not self._waiting:
            return None
        first = self._waiting[0]
        if self._forward.stands_alone(first) and self._joins and not first.request.inputs:
            self._waiting.pop(0)
            prompt = Prompt(tuple(first.request.prompt), [first], Known())
            return Prefill(self._forward, [prompt], len(first.request.prompt))
        alike = [row for row in self._waiting if row is first or self._go_together(row, first)]
        if first.request.inputs or not self._joins:
            self._waiting = [row for row in self._waiting if row not in alike]
            return alike
        rows_of: dict[tuple[int, ...], list[Row]] = {}
        for row in alike:
            rows_of.setdefault(tuple(row.request.prompt), []).append(row)
        known = self._find if self._forward.continues else lambda *_: Known()
        prompts = [Prompt(tokens, rows, known(first.request.adapter, tokens)) for tokens, rows in rows_of.items()]
        chosen = together(prompts, self._holds, self._exact)
        taken = {id(row) for prompt in chosen for row in prompt.rows}
        self._waiting = [row for row in self._waiting if id(row) not in taken]
        return Prefill(self._forward, chosen, self._chunk)

    def _go_together(self, row: Row, first: Row) -> bool:
        return row.goes_with(first) and (not self._joins or not self._forward.stands_alone(row))

    def _alone(self, rows: list[Row]) -> Ready | None:
        """Compute the prompt of a row that has tensors of its own, or the whole answers of rows that cannot join."""
        rows = [row for row in rows if not row.answer.ended]
        if not rows:
            return None
        if self._joins and self._joins_inputs:
            (row,) = rows
            found = self._forward.alone(row, self._ends)
            if found is not None:
                cache, scores, positions = found
                return Ready(row.request.adapter, cache, [0], [row], scores, positions)
            self._joins_inputs = False
            announce("engine", "answers requests with tensors of their own one by one", "the model keeps more of them")
        generate_batch(self._forward.model, rows, self._ends, self._context_length, lambda *_: False)
        return None
