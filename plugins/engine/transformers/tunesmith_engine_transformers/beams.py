"""Beam search: several continuations are followed at a time, and the likeliest as a whole is the answer.

Which one that is shows at the end, so an answer comes in one piece. transformers searches; with a temperature it draws
the continuations that are followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from tunesmith.types import Delta, LogProb
from tunesmith_library_training.drawing import left_padded

from .choosing import count_off
from .generating import inputs_of
from .parts import all_of
from .rows import Row
from .scoring import score
from .settings import generation_config


@dataclass(frozen=True)
class Beams:
    """How a search goes; one beam is none."""

    count: int = 1
    length_penalty: float = 1.0  # sums of log-probabilities are divided by length to this power


def search(model: Any, rows: Sequence[Row], beams: Beams) -> None:
    """Answer every row.

    Args:
        rows: of one batch (`Row.goes_with`), none of which has begun.
    """
    for alike in _alike(rows):
        _answer(model, alike, beams)


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that are searched together: with the same settings and limits; one that draws is alone with its numbers."""
    left = list(rows)
    while left:
        first, *others = left
        together = [] if first.choice.drawing else [row for row in others if _settings(row) == _settings(first)]
        yield [first, *together]
        left = [row for row in others if all(row is not other for other in together)]


def _settings(row: Row) -> tuple[Any, ...]:
    asked, choice = row.choice.asked, row.choice
    own = (asked.logit_bias, asked.frequency_penalty, asked.presence_penalty)
    return row.limit, row.ends, choice.drawing, choice.repetition_penalty, *own


def _answer(model: Any, rows: Sequence[Row], beams: Beams) -> None:
    first = rows[0]
    input_ids, attention_mask = left_padded([row.ids for row in rows], model.device)
    config = generation_config(model.generation_config, first.limit, first.ends)
    config.num_beams, config.length_penalty = beams.count, beams.length_penalty
    config.repetition_penalty = first.choice.repetition_penalty
    if first.choice.drawing:
        drawing = first.choice.drawing
        config.do_sample, config.temperature, config.top_k = True, drawing.temperature, drawing.top_k
        config.top_p, config.min_p = drawing.top_p, drawing.min_p or None
    device = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(device):
        torch.manual_seed(first.random.getrandbits(63))
        found = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_Asked(first, input_ids.shape[1])]),
            stopping_criteria=StoppingCriteriaList([_Cancelled(rows)]),
            **inputs_of(first.request, model),
        )
    for row, tokens in zip(rows, found[:, input_ids.shape[1] :].tolist(), strict=True):
        _tell(model, row, tokens)


def _tell(model: Any, row: Row, tokens: list[int]) -> None:
    """Give a row its answer: the tokens up to the first that ends it, and how likely each was if that is asked."""
    if row.answer.ended:
        return
    end = next((place for place, token in enumerate(tokens) if token in row.ends), None)
    said = tokens[: row.limit if end is None else end + 1]
    log_probs: tuple[LogProb, ...] = ()
    if row.request.log_probs is not None:
        (whole,) = all_of(score(model, None, [[*row.ids, *said]], row.request.log_probs))
        log_probs = whole[len(row.ids) - 1 :]
    row.made += said
    row.answer.put(Delta(tuple(said), log_probs, "length" if end is None else "stop"))


class _Asked(LogitsProcessor):
    """What a request asks of single tokens: bias, and penalties for those that a continuation has."""

    def __init__(self, row: Row, start: int) -> None:
        self._asked, self._start = row.choice.asked, start

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """
        Args:
            input_ids: int64 (B · beams, T); scores: fp32 (B · beams, V), changed in place.
        """
        for token, bias in self._asked.logit_bias.items():
            scores[:, token] += bias
        for made, of_beam in zip(input_ids[:, self._start :], scores, strict=True):
            count_off(self._asked, made, of_beam)
        return scores


class _Cancelled(StoppingCriteria):
    """Ends a search whose answers nobody waits for any more."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        over = all(row.answer.ended for row in self._rows)
        return torch.full((len(input_ids),), over, device=input_ids.device)
