"""Answers of the run's engine in TRL's loops.

TRL asks the model's own `generate`, a public method that all its loops call alike; so that is where the engine answers.
TRL's calls have the numbers of examples (`asking`); others, such as the engine's own, are the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tunesmith.types import Sampling
from tunesmith_library_training.drawing import Drawing

from tunesmith_stage_grpo.asking import NUMBERS
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
def generating_by(drawing: Drawing, model: Any, examples: Any, seeds: Callable[[int], list[int]]) -> Iterator[None]:
    """Let the engine answer where TRL asks a model's `generate`.

    Args:
        examples: of `prompts.encode_prompts`, by their numbers.
        seeds: gives those of so many answers, which this process is to draw now.
    """
    own = model.generate

    def generate(*arguments: Any, **options: Any) -> Any:
        if NUMBERS not in options:
            return own(*arguments, **options)
        numbers = options[NUMBERS][:, -1].tolist()
        asked = {number: examples[number] for number in numbers}  # an example that is asked for often is one
        some = [asked[number] for number in numbers]
        return _drawn(drawing, some, seeds(len(some)), options["input_ids"], options["generation_config"])

    model.generate = generate
    try:
        yield
    finally:
        del model.generate


def _drawn(
    drawing: Drawing,
    examples: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    input_ids: torch.Tensor,
    config: Any,
) -> torch.Tensor:
    """Prompts with their answers as `generate` gives them: int64 (B, T + new), filled up behind the answers that ended.

    Args:
        input_ids: int64 (B, T), padded on the left.
        config: a GenerationConfig, for its limit and its padding token.
    """
    most, limit = config.max_new_tokens, drawing.context_length
    if limit is not None:  # the same for all, so that only what has ended is filled up
        most = min(most, limit - max(len(example["prompt_input_ids"]) for example in examples))
    answers = drawing.answers(examples, seeds, most)
    width = max(map(len, answers))
    filled = [answer + [config.pad_token_id] * (width - len(answer)) for answer in answers]
    return torch.cat([input_ids, torch.tensor(filled, device=input_ids.device)], dim=1)
