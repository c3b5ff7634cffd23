"""What the model says of texts that are there already: how likely their tokens are, and vectors of them.

Both are done in parts, between which the engine's thread goes on with answers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from tunesmith.types import LogProb

from .choosing import log_probs_of

_SCORES = 2**26  # numbers of a batch's scores that are computed at a time: 256 MB in fp32
_TOKENS, _TOKENS_ON_CPU = 16_384, 2_048  # of a part, unless one sequence has more


def score(
    model: Any, sequences: Sequence[Sequence[int]], alternatives: int
) -> Generator[None, None, list[tuple[LogProb, ...]]]:
    """The log-probabilities of each sequence's tokens behind its first."""
    found: list[tuple[LogProb, ...]] = [()] * len(sequences)
    vocabulary: int = model.config.get_text_config().vocab_size
    for members, ids, mask in _batches(model, sequences, _SCORES // vocabulary):
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for row, index in enumerate(members):
            length = len(sequences[index])
            log_probs = logits[row, : length - 1].float().log_softmax(-1)  # (T - 1, V)
            found[index] = tuple(log_probs_of(log_probs, sequences[index][1:], [alternatives] * (length - 1)))
        yield
    return found


def embed(model: Any, sequences: Sequence[Sequence[int]]) -> Generator[None, None, list[list[float]]]:
    """The mean over each sequence's tokens of the model's last hidden states."""
    found: list[list[float]] = [[]] * len(sequences)
    for members, ids, mask in _batches(model, sequences, _TOKENS):
        inputs = {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            output = model(**inputs, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        hidden = output.hidden_states[-1].float()  # (B, T, H)
        means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        for row, index in enumerate(members):
            found[index] = means[row].tolist()
        yield
    return found


def _batches(model: Any, sequences: Sequence[Sequence[int]], most: int) -> Iterator[tuple[list[int], Any, Any]]:
    """Batches of similar length, padded on the right, where tokens before do not see it.

    Args:
        most: tokens of a batch, unless one sequence has more.

    Returns: the places of the sequences; `input_ids` and `attention_mask`, both int64 (B, T).
    """
    most = min(most, _TOKENS_ON_CPU if model.device.type == "cpu" else _TOKENS)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    while order:
        members = [order.pop()]
        width = len(sequences[members[0]])
        while order and (len(members) + 1) * width <= most and 4 * len(sequences[order[-1]]) >= 3 * width - 16:
            members.append(order.pop())
        ids = [[*sequences[index], *([0] * (width - len(sequences[index])))] for index in members]
        mask = [[1] * len(sequences[index]) + [0] * (width - len(sequences[index])) for index in members]
        yield members, torch.tensor(ids, device=model.device), torch.tensor(mask, device=model.device)
