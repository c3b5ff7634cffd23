"""Answers of the run's engine in TRL's loops.

TRL asks the model's own `generate`, a public method that all its loops call alike; so that is where the engine answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tunesmith.types import Sampling
from tunesmith_library_training.drawing import Drawing

from tunesmith_stage_grpo.options import GroupOptions


def sampling_of(options: GroupOptions) -> Sampling:
    """How answers are drawn; nothing is left to the engine's options."""
    return Sampling(
        max_new_tokens=options.max_completion_length,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        min_p=options.min_p or 0.0,
        repetition_penalty=options.repetition_penalty,
    )


@contextmanager
def generating_by(drawing: Drawing, model: Any) -> Iterator[None]:
    """Let the engine answer for a model's `generate`, but where the engine itself calls it."""
    own, busy = model.generate, False

    def generate(*arguments: Any, **options: Any) -> Any:
        nonlocal busy
        if busy:
            return own(*arguments, **options)
        busy = True
        try:
            return _drawn(drawing, options["input_ids"], options["attention_mask"], options["generation_config"])
        finally:
            busy = False

    model.generate = generate
    try:
        yield
    finally:
        del model.generate


def _drawn(drawing: Drawing, input_ids: torch.Tensor, attention_mask: torch.Tensor, config: Any) -> torch.Tensor:
    """Prompts with their answers as `generate` gives them: int64 (B, T + new), filled up behind the answers that ended.

    Args:
        input_ids: int64 (B, T), padded on the left.
        attention_mask: int64 (B, T).
        config: a GenerationConfig, for its limit and its padding token.
    """
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)]
    most, limit = config.max_new_tokens, drawing.context_length
    if limit is not None:  # the same for all, so that only what has ended is filled up
        most = min(most, limit - max(map(len, prompts)))
    answers = drawing.answers(prompts, most)
    width = max(map(len, answers))
    filled = [answer + [config.pad_token_id] * (width - len(answer)) for answer in answers]
    return torch.cat([input_ids, torch.tensor(filled, device=input_ids.device)], dim=1)
