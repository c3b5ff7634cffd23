"""Batches that stream every row.

transformers' own streamers know one row. Its logits processors and stopping criteria, though, see the whole batch for
every token, so one processor chooses the tokens of all rows, and one criterion reads them. Rows that are done cannot
leave the batch of `model.generate`, and none can join, so it is left when that is worthwhile, and what goes on is
computed in another batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from tunesmith.types import Request
from tunesmith_library_training.drawing import left_padded

from .choosing import Chooser
from .rows import Row
from .settings import generation_config

Leaves = Callable[[int, int], bool]
"""(rows of the batch, rows that go on) -> whether they had better go on in another batch."""


def generate_batch(
    model: Any, rows: Sequence[Row], ends: Collection[int], context_length: int | None, leaves: Leaves
) -> None:
    """Generate until every row has ended, or the batch is left.

    Args:
        rows: of one batch (`Row.goes_with`).
        ends: the tokens that end every answer.
    """
    prompts = [row.ids for row in rows]
    input_ids, attention_mask = left_padded(prompts, model.device)
    # Also rows that are done take part to the end, and have no positions beyond the context.
    most = max(row.limit - len(row.made) for row in rows)
    most = most if context_length is None else min(most, context_length - max(map(len, prompts)))
    batch = _Batch(rows, leaves)
    model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        generation_config=generation_config(model.generation_config, most, ends),
        logits_processor=LogitsProcessorList([_Choosing(batch)]),
        stopping_criteria=StoppingCriteriaList([_Reading(batch)]),
        **inputs_of(rows[0].request, model),
    )


class _Batch:
    """The rows between a processor and a criterion of one call of `generate`."""

    def __init__(self, rows: Sequence[Row], leaves: Leaves) -> None:
        self._rows, self._leaves, self._chooser = rows, leaves, Chooser(rows)
        self._left = False  # transformers may compute another token before it asks whether to stop

    def choose(self, input_ids: Any, scores: Any) -> Any:
        return scores if self._left else self._chooser.choose(input_ids, scores)

    def read(self, tokens: Sequence[int]) -> bool:
        """Give every row its token; whether the batch is left."""
        if self._left:
            return True
        log_probs = self._chooser.log_probs(tokens)
        for index, row in enumerate(self._rows):
            if not row.answer.ended:
                row.push(tokens[index], log_probs.get(index))
        going = sum(not row.answer.ended for row in self._rows)
        self._left = going == 0 or self._leaves(len(self._rows), going)
        return self._left


class _Choosing(LogitsProcessor):
    def __init__(self, batch: _Batch) -> None:
        self._batch = batch

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return self._batch.choose(input_ids, scores)


class _Reading(StoppingCriteria):
    def __init__(self, batch: _Batch) -> None:
        self._batch = batch

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        left = self._batch.read(input_ids[:, -1].tolist())
        return torch.full((len(input_ids),), left, device=input_ids.device)


def inputs_of(request: Request, model: Any) -> dict[str, Any]:
    """What a request has beside tokens, where a model is; pixels and samples in the numbers that it computes in."""
    return {name: _moved(value, model) for name, value in request.inputs.items()}


def _moved(value: Any, model: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(model.device, model.dtype if value.is_floating_point() and value.ndim > 1 else value.dtype)
