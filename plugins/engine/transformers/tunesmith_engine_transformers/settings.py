"""How the next token is chosen: what was asked, over the options, over the model's own generation_config.json."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tunesmith.types import Sampling


@dataclass(frozen=True)
class Drawing:
    """From which tokens one is drawn; the values of transformers' own logits warpers."""

    temperature: float
    top_k: int  # 0 is all
    top_p: float
    min_p: float


@dataclass(frozen=True)
class Choice:
    """How one answer's tokens are chosen."""

    drawing: Drawing | None  # None takes the likeliest
    repetition_penalty: float
    asked: Sampling  # for what belongs to the request alone: frequency and presence penalty, bias

    @property
    def penalises(self) -> bool:
        """Whether the scores are changed before a token is chosen."""
        own = self.asked.logit_bias or self.asked.frequency_penalty or self.asked.presence_penalty
        return self.repetition_penalty != 1.0 or bool(own)


def choice_of(asked: Sampling, defaults: Sampling, own: Any) -> Choice:
    """Put together what a request leaves open.

    Tokens are drawn when a temperature above 0 is asked, or top_p, top_k or min_p without temperature; greedy at 0;
    and as the model says when none of them is asked.

    Args:
        defaults: the engine's options.
        own: the model's generation_config.
    """
    temperature, top_p, top_k, min_p, penalty = (
        _first(getattr(asked, name), getattr(defaults, name))
        for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    )
    narrowed = any(value is not None for value in (top_p, top_k, min_p))
    draws = bool(own.do_sample) or narrowed if temperature is None else temperature > 0
    drawing = Drawing(
        temperature=_first(temperature, own.temperature, 1.0) if draws else 1.0,
        top_k=_first(top_k, own.top_k, 0),
        top_p=_first(top_p, own.top_p, 1.0),
        min_p=_first(min_p, own.min_p, 0.0),
    )
    return Choice(drawing if draws else None, _first(penalty, own.repetition_penalty, 1.0), asked)


def generation_config(own: Any, max_new_tokens: int, ends: Collection[int]) -> Any:
    """Make the GenerationConfig for a batch: transformers takes the likeliest of the scores that we leave it.

    What the model asks for beside sampling, such as suppressed tokens, stays.

    Args:
        own: the model's generation_config.
        ends: the tokens that end every answer.
    """
    config = copy.deepcopy(own)
    # Neutral values instead of None: transformers fills None from the model's own again.
    config.do_sample, config.temperature, config.top_p, config.top_k, config.min_p = False, 1.0, 1.0, 50, None
    config.repetition_penalty = 1.0
    config.max_new_tokens, config.max_length = max_new_tokens, None
    config.use_cache = True  # training switches it off
    config.num_beams, config.num_return_sequences = 1, 1
    config.eos_token_id = sorted(ends) or None
    config.pad_token_id = next(iter(config.eos_token_id or [0]))  # what rows that are done are filled with
    return config


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
