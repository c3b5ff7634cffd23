"""What answers take, for plugins of the kind `engine`: how many are written together, how long they get, and the time.

Without torch. A training step says itself what it has written; an evaluation's prompts are at most as long as the data,
and a conversation may get as long as the model was made for, of which so much is planned as most of them need.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_estimates.working import Work

if TYPE_CHECKING:
    from tunesmith.planning import Plan

KEYS_AND_VALUES = "keys and values of answers"

_CONVERSATION = 8_192  # tokens of one that is planned for


def answers_of(estimate: Estimate, plan: Plan, rows: int, max_new_tokens: int, context: int | None = None) -> Answers:
    """The answers that are written together.

    Args:
        rows: as many as are computed at a time, at most.
        max_new_tokens: of an answer where nothing else says so.
        context: tokens of a prompt with its answer, as the engine limits them; None is the model's limit.

    Returns: those of a training step, or of an evaluation, and none where no evaluator has any written; else one
        conversation, whose answer is its end.
    """
    limit = context or estimate.cache.context or _CONVERSATION
    asked = estimate.answers
    if asked.sequences:
        return replace(asked, sequences=min(asked.sequences, rows))
    if plan.command == "eval":
        max_new_tokens = _asked_of_evaluators(plan, max_new_tokens)
        if not max_new_tokens:
            return Answers()
        longest = estimate.data.longest[0] if estimate.data.longest else estimate.length or _CONVERSATION
        return Answers(rows, max(min(longest, limit - max_new_tokens), 1), max_new_tokens)
    whole = min(limit, context or _CONVERSATION)
    return Answers(1, max(whole - max_new_tokens, 1), min(max_new_tokens, whole))


def _asked_of_evaluators(plan: Plan, otherwise: int) -> int:
    """Tokens of the longest answer that an evaluator has written, as each says by `tokens_of_answer`."""
    found = [plan.plugin("evaluator", name) for name in plan.names("evaluator")]
    return max((int(getattr(each, "tokens_of_answer", otherwise)) for each in found), default=otherwise)


def with_answers(estimate: Estimate, answers: Answers, size: float, numbers: float) -> Estimate:
    """The estimate with the keys and values of answers, and the work of a training step's answers.

    Every token of an answer reads all weights and what is kept of the tokens before it, once for all that are computed
    together.

    Args:
        size: bytes that keys and values take at most.
        numbers: bytes of a number of them.
    """
    made = replace(estimate, answers=answers)
    made = made.plus(KEYS_AND_VALUES, Memory(size, phases=("generate",), of="cache"))
    if not answers.in_step:
        beyond = in_words(estimate.cache.per_token * numbers)
        told = f"{answers.sequences} × {answers.length:,} tokens"
        return made.without(f"answers beyond {told} at a time: {beyond} for each token") if beyond != "0 B" else made
    weights = sum(weight.bytes for weight in estimate.weights)
    middle = estimate.cache.numbers(answers.prompt + answers.tokens // 2) * numbers
    rounds = math.ceil(answers.in_step / answers.sequences)
    read = answers.tokens * (rounds * weights + answers.in_step * middle)
    flops = answers.in_step * answers.length * replace(estimate, length=answers.length, passes=1.0).flops
    return made.doing("answers", Work(flops=flops, bytes=read, per="step"))


def of_own_weights(estimate: Estimate, plan: Plan, share: float, devices: int, name: str, asleep: bool) -> Estimate:
    """The estimate with an engine that takes a share of a card for weights of its own and for keys and values.

    Args:
        share: of a card's memory.
        devices: that share each layer.
        name: what the engine is called.
        asleep: whether it keeps its weights in the host's memory while the model learns.
    """
    room, weights = estimate.machine.room, estimate.weights
    own = sum(weight.bytes for weight in weights) / devices
    if room is None:
        return estimate.without(f"what {name} takes: {share:.0%} of the memory of a card that is not known")
    taken = share * room.total
    per_token = estimate.cache.per_token * _bytes_of(weights) / devices
    tokens = (taken - own) / per_token if per_token else 0
    told = f"{name} (room for {max(tokens, 0):,.0f} tokens)" if per_token else name
    if plan.command != "train":  # the weights are the engine's, and no others are loaded
        part = tuple(replace(weight, part=weight.part / devices) for weight in weights)
        return replace(estimate, weights=part).plus(told, Memory(max(taken - own, 0), phases=("generate",), of="cache"))
    made = estimate.plus(told, Memory(taken, phases=("generate",), of="cache"))
    if asleep:
        made = made.plus(f"weights of {name}, asleep", Memory(own, of="other", on_host=True))
    return made


def _bytes_of(weights: tuple[Weight, ...]) -> float:
    """Bytes of a number of keys and values: as the embeddings' are."""
    return max((weight.bits for weight in weights if weight.kind == "embedding"), default=16) / 8
