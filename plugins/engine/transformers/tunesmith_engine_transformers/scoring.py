"""What the model says of texts that are there already: how likely their tokens are, and vectors of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tunesmith.types import LogProb

from .choosing import log_prob_of

_SCORES = 2**26  # numbers of a batch's scores that are computed at a time: 256 MB in fp32


@torch.no_grad()
def score(
    model: Any, sequences: Sequence[Sequence[int]], alternatives: int, batch_size: int
) -> list[tuple[LogProb, ...]]:
    """The log-probabilities of each sequence's tokens behind its first."""
    found: list[tuple[LogProb, ...]] = [()] * len(sequences)
    for members, ids, mask in _batches(model, sequences, min(batch_size, _most(model, sequences))):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for row, index in enumerate(members):
            length = len(sequences[index])
            log_probs = logits[row, : length - 1].float().log_softmax(-1)  # (T - 1, V)
            found[index] = _log_probs(log_probs, ids[row, 1:length], alternatives)
    return found


def _log_probs(log_probs: Any, tokens: Any, alternatives: int) -> tuple[LogProb, ...]:
    if alternatives:
        return tuple(log_prob_of(of, token, alternatives) for of, token in zip(log_probs, tokens.tolist(), strict=True))
    return tuple(map(LogProb, log_probs.gather(1, tokens[:, None])[:, 0].tolist()))


@torch.no_grad()
def embed(model: Any, sequences: Sequence[Sequence[int]], batch_size: int) -> list[list[float]]:
    """The mean over each sequence's tokens of the model's last hidden states."""
    found: list[list[float]] = [[]] * len(sequences)
    for members, ids, mask in _batches(model, sequences, batch_size):
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        hidden = output.hidden_states[-1].float()  # (B, T, H)
        means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        for row, index in enumerate(members):
            found[index] = means[row].tolist()
    return found


def _batches(model: Any, sequences: Sequence[Sequence[int]], size: int) -> Iterator[tuple[list[int], Any, Any]]:
    """Batches of similar length, padded on the right, where tokens before do not see it.

    Returns: the places of the sequences; `input_ids` and `attention_mask`, both int64 (B, T).
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    for start in range(0, len(order), size):
        members = order[start : start + size]
        width = len(sequences[members[-1]])
        ids = [[*sequences[index], *([0] * (width - len(sequences[index])))] for index in members]
        mask = [[1] * len(sequences[index]) + [0] * (width - len(sequences[index])) for index in members]
        yield members, torch.tensor(ids, device=model.device), torch.tensor(mask, device=model.device)


def _most(model: Any, sequences: Sequence[Sequence[int]]) -> int:
    """How many of the sequences may be scored together."""
    longest = max(map(len, sequences), default=1)
    vocabulary: int = model.config.get_text_config().vocab_size
    return max(1, _SCORES // (longest * vocabulary))
