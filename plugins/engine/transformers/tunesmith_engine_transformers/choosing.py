"""From the scores of a batch to the next token of every row, each by its own settings and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from tunesmith import TunesmithError
from tunesmith.types import LogProb, Sampling

from .rows import Row
from .settings import Drawing


class Chooser:
    """Leaves of each row's scores only what was chosen, so that the likeliest token is it."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        drawn = {row.choice.drawing for row in rows} - {None}
        self._groups = [  # the rows that draw alike, and how
            ([index for index, row in enumerate(rows) if row.choice.drawing == drawing], warpers(drawing))
            for drawing in drawn
            if drawing
        ]
        self._changed = [index for index, row in enumerate(rows) if row.choice.penalises]
        self._bound = [index for index, row in enumerate(rows) if row.constraint]
        self._told = [index for index, row in enumerate(rows) if row.request.log_probs is not None]
        self._log_probs: Any = None

    def choose(self, input_ids: Any, scores: Any) -> Any:
        """
        Args:
            input_ids: int64 (B, T), the tokens so far.
            scores: fp32 (B, V), the model's; they are changed.

        Returns: (B, V), of which the highest score of a row is its next token.
        """
        if self._told:
            self._log_probs = scores[self._told].log_softmax(-1)
        for index in self._bound:
            constrain(self._rows[index], scores[index])
        for index in self._changed:
            _penalise(self._rows[index], input_ids[index], scores[index])
        for index in self._bound:
            _refuse_none_left(self._rows[index], scores[index])
        for members, processors in self._groups:
            narrowed = processors(input_ids[members], scores[members])
            chosen = self._drawn(members, narrowed)
            scores[members] = torch.full_like(narrowed, -torch.inf).scatter_(1, chosen, 0.0)
        return scores

    def log_probs(self, tokens: Sequence[int]) -> dict[int, LogProb]:
        """How likely each row's token was, by row, for the rows that want to know."""
        if not self._told:
            return {}
        alternatives = [self._rows[index].request.log_probs or 0 for index in self._told]
        told = log_probs_of(self._log_probs, [tokens[index] for index in self._told], alternatives)
        return dict(zip(self._told, told, strict=True))

    def _drawn(self, members: Sequence[int], scores: Any) -> Any:
        """Draw the tokens of rows; a row fails alone whose scores are no numbers."""
        numbers = [self._rows[index].random.random() for index in members]
        try:
            return draw(scores, numbers)
        except TunesmithError as error:
            for place in (~scores.softmax(-1).isfinite().all(-1)).nonzero()[:, 0].tolist():
                self._rows[members[place]].answer.fail(error)
                scores[place] = 0.0
            return draw(scores, numbers)


def constrain(row: Row, scores: Any) -> None:
    """Leave of one row's scores those of the tokens that its grammar allows; a row that cannot go on fails alone.

    Args:
        scores: fp32 (V,), changed in place.
    """
    if row.constraint is None or row.answer.ended:
        return
    try:
        allowed = torch.from_numpy(row.constraint.allowed()[: len(scores)]).to(scores.device)
    except TunesmithError as error:
        row.answer.fail(error)
        return
    scores[len(allowed) :] = -torch.inf
    scores[: len(allowed)].masked_fill_(~allowed, -torch.inf)


def _refuse_none_left(row: Row, scores: Any) -> None:
    """Fail a row whose grammar allows only what is forbidden otherwise; its scores become any that can be drawn.

    Args:
        scores: fp32 (V,), changed in place.
    """
    if scores.max() > -torch.inf or scores.isnan().any():
        return
    row.answer.fail(
        TunesmithError(
            "the answer cannot go on: its grammar allows only tokens that logit_bias or the model's "
            "generation_config.json forbid"
        )
    )
    scores.zero_()


def _penalise(row: Row, ids: Any, scores: Any) -> None:
    """Apply bias and penalties to one row.

    Args:
        ids: int64 (T,), its tokens so far.
        scores: fp32 (V,), changed in place.
    """
    asked, penalty = row.choice.asked, row.choice.repetition_penalty
    for token, bias in asked.logit_bias.items():
        scores[token] += bias
    if penalty != 1.0:
        scores[:] = RepetitionPenaltyLogitsProcessor(penalty)(ids[None], scores[None])[0]
    count_off(asked, torch.tensor(row.made, device=scores.device), scores)


def count_off(asked: Sampling, made: Any, scores: Any) -> None:
    """Take a request's frequency and presence penalties off the scores of the tokens that its answer has.

    Args:
        made: int64 (n,), the answer so far; scores: fp32 (V,), changed in place.
    """
    if len(made) and (asked.frequency_penalty or asked.presence_penalty):
        tokens, counts = made.unique(return_counts=True)
        scores[tokens] -= asked.frequency_penalty * counts + asked.presence_penalty


def warpers(drawing: Drawing) -> LogitsProcessorList:
    """transformers' own, in its order."""
    made = LogitsProcessorList()
    if drawing.temperature != 1.0:
        made.append(TemperatureLogitsWarper(drawing.temperature))
    if drawing.top_k:
        made.append(TopKLogitsWarper(drawing.top_k))
    if drawing.top_p < 1.0:
        made.append(TopPLogitsWarper(drawing.top_p))
    if drawing.min_p:
        made.append(MinPLogitsWarper(drawing.min_p))
    return made


def draw(scores: Any, numbers: Sequence[float]) -> Any:
    """Draw a token of each row: the one at which the cumulated probability passes the row's number.

    Args:
        scores: (n, V); -inf is never drawn.
        numbers: of [0, 1), one for each row.

    Returns: int64 (n, 1).
    Raises: TunesmithError for scores that are no numbers.
    """
    exact = torch.float32 if scores.device.type == "mps" else torch.float64
    cumulated = scores.softmax(-1).to(exact).cumsum(-1)
    total = cumulated[:, -1:]
    if not total.isfinite().all():
        raise TunesmithError("the model's scores are not finite: its weights are broken, or its precision is too low")
    wanted = torch.tensor(numbers, dtype=exact, device=scores.device)[:, None] * total
    return torch.searchsorted(cumulated, torch.minimum(wanted, total * (1 - torch.finfo(exact).eps)), right=True)


def log_probs_of(log_probs: Any, tokens: Sequence[int], alternatives: Sequence[int]) -> list[LogProb]:
    """How likely tokens are, and which others were likeliest.

    Args:
        log_probs: (n, V), of all tokens.
        alternatives: how many of the likeliest are told, for each of the tokens.
    """
    chosen = log_probs.gather(1, torch.tensor(tokens, device=log_probs.device)[:, None])[:, 0].tolist()
    most = min(max(alternatives, default=0), log_probs.shape[1])
    if not most:
        return [LogProb(value) for value in chosen]
    best = log_probs.topk(most)
    rows = zip(chosen, best.indices.tolist(), best.values.tolist(), alternatives, strict=True)
    return [LogProb(value, dict(zip(ids[:count], values[:count], strict=True))) for value, ids, values, count in rows]
