"""The losses of sequences: by a model in this process, or by an engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from tunesmith.types import IGNORED, Engine
from tunesmith_library_training.batches import Arrays, pad
from tunesmith_library_training.log_probs import sequence_log_probs

from tunesmith_evaluator_perplexity.scores import Loss

if TYPE_CHECKING:
    from tunesmith.types import LogProb


def losses_by_model(model: Any, sequences: Sequence[Arrays], batch_tokens: int) -> list[Loss]:
    """Run a model over sequences, those of like length together.

    Args:
        batch_tokens: of a batch, padding included.
    """
    device = model.get_input_embeddings().weight.device
    losses: dict[int, Loss] = {}
    was_training = model.training
    model.eval()
    try:
        for places in _batches([len(sequence["input_ids"]) for sequence in sequences], batch_tokens):
            batch = pad([sequences[place] for place in places])
            tensors = {name: values.to(device) for name, values in batch.items() if torch.is_tensor(values)}
            with torch.no_grad():
                found = sequence_log_probs(model, tensors)
            for place, total, tokens in zip(places, found.sums.tolist(), found.counts.tolist(), strict=True):
                losses[place] = Loss(-total, int(tokens))
    finally:
        model.train(was_training)
    return [losses[place] for place in range(len(sequences))]


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places of sequences, the longest first, as many at a time as fit when they are padded."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        count = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + count]
        start += count


def losses_by_engine(engine: Engine, sequences: Sequence[Arrays]) -> list[Loss]:
    """Let an engine score sequences."""
    scored = engine.score([sequence["input_ids"].tolist() for sequence in sequences])
    return [_summed(sequence, found) for sequence, found in zip(sequences, scored, strict=True)]


def _summed(sequence: Arrays, scored: Sequence[LogProb]) -> Loss:
    """The loss of a sequence whose tokens, all but the first, have these log-probabilities."""
    predicted = (sequence["labels"][1:] != IGNORED).tolist()
    kept = [found.value for found, counts in zip(scored, predicted, strict=True) if counts]
    return Loss(-math.fsum(kept), len(kept))
