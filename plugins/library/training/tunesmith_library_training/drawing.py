"""Answers drawn from a model while it is trained, by transformers' own generation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from tunesmith.types import TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens


def answer_ends(job: TrainingJob) -> list[int]:
    """The tokens that end an answer of the model that is trained."""
    return end_tokens(job.template, tokenizer_of(job.processor), getattr(job.model, "generation_config", None))


def left_padded(prompts: Sequence[list[int]], device: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Make `input_ids` and `attention_mask`, both int64 (B, T), of prompts that end together, where answers begin.

    A row is padded with its own first token: a padding token would count as said already in a repetition penalty.
    """
    width = max(map(len, prompts))
    ids = [[prompt[0]] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@torch.no_grad()
def draw(model: Any, prompts: Sequence[list[int]], ends: Sequence[int], **sampling: Any) -> list[list[int]]:
    """Draw an answer to each prompt from all tokens: its token ids, with the token that ended it, if one did.

    Args:
        ends: ids of the tokens that end an answer.
        sampling: transformers' generation options, such as `max_new_tokens` and `temperature`.
    """
    ids, mask = left_padded(prompts, model.device)
    plain = {"top_k": 0, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "repetition_penalty": 1.0}
    alone = {"do_sample": True, "num_beams": 1, "num_return_sequences": 1, "use_cache": True, "max_length": None}
    own = {"eos_token_id": list(ends) or None, "pad_token_id": ends[0] if ends else 0}
    config = copy.deepcopy(model.generation_config)
    config.update(**{**plain, **alone, **own, **sampling})
    drawn = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [_until(row, ends) for row in drawn[:, ids.shape[1] :].tolist()]


def _until(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """The tokens up to the first that ends an answer, which is kept."""
    for index, token in enumerate(tokens):
        if token in ends:
            return tokens[: index + 1]
    return tokens
