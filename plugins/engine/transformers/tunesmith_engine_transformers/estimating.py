"""What answers of transformers take: the buffers of `columns`, a part of the prompts, and the scores. Without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_engine.estimating import answers_of, with_answers
from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_ROOM = 64  # as in `columns`
_PART, _PART_ON_CPU = 4096, 512  # tokens of prompts that are computed at a time, as in `prompts`
_FEW = 1024  # tokens that are kept where memory is scarce
_SCORED = 16  # bytes for each score of the next token: in float32, and what it is drawn by


def estimate_engine(estimate: Estimate, plan: Plan, rows: int, max_new_tokens: int, kept: int) -> Estimate:
    """Add what answers take.

    Args:
        rows: answers that are computed together, at most.
        kept: tokens that are kept of answers that have ended, outside of training.
    """
    answers = answers_of(estimate, plan, rows, max_new_tokens)
    if not answers.sequences:
        return estimate
    if not estimate.weights or not estimate.cache.columns:
        return estimate if not estimate.weights else estimate.without("keys and values: the layers are not known")
    part = _PART_ON_CPU if estimate.machine.device == "cpu" else _PART
    size = _bytes_of(estimate) * buffers(estimate, answers, part)
    made = with_answers(estimate, answers, size, _bytes_of(estimate))
    scores = Memory(_SCORED * answers.sequences * estimate.vocabulary, phases=("generate",), of="activations")
    made = made.plus("scores of the next tokens", scores)
    tokens = min(part, answers.sequences * answers.prompt)
    through = tokens * _widest(estimate) * (4 if estimate.precision == "fp32" else 2)
    if plan.command != "train" and kept:
        held = kept * estimate.cache.per_token * _bytes_of(estimate)
        made = made.plus("kept for prompts that begin alike", Memory(held, phases=("generate",), of="cache"))
        if kept > _FEW:
            costs = "prompts that begin alike are computed anew"
            made = made.offering(Change((f"engine.prefix_cache={_FEW}",), "time", costs))
    return made.plus("a part of the prompts", Memory(through, phases=("generate",), of="activations"))


def buffers(estimate: Estimate, answers: Answers, part: int) -> float:
    """Numbers of all layers' buffers when the answers end; one layer is there twice while its buffer grows."""
    places = 1 << (answers.sequences - 1).bit_length()
    step = max(part // answers.sequences, 16)
    layers = [each * columns(answers, step, window) for each, window in estimate.cache.columns]
    return places * (sum(layers) + max(layers) / 2 + estimate.cache.states)


def columns(answers: Answers, step: int, window: int = 0) -> int:
    """Columns of a layer's buffer behind the last token of answers, as `Columns` makes room for them.

    Args:
        step: tokens of each prompt that are computed at a time.
        window: tokens that a token sees; 0 is all.
    """
    total, end, span = 0, 0, 0
    while span < answers.length:
        new = min(step, answers.prompt - span) if span < answers.prompt else min(total - end, answers.length - span)
        new = max(new, 1)
        visible = min(span, window - 1) if window else span
        if end + new > total:
            end, total = visible, visible + max(new, visible, _ROOM)
        end, span = end + new, span + new
    return total


def _bytes_of(estimate: Estimate) -> float:
    """Bytes of a number, on average: keys are turned in the numbers of the stream, values are as they are computed."""
    stream = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16) / 8
    return (stream + (4 if estimate.precision == "fp32" else 2)) / 2


def _widest(estimate: Estimate) -> float:
    """Numbers that a layer computes of a token at once: gate, activation and product, beside the stream."""
    met = [weight for weight in estimate.weights if weight.kind == "linear"]
    width = max((weight.shape[0] for weight in met), default=0)
    return 3.0 * width + 4.0 * estimate.hidden_size
