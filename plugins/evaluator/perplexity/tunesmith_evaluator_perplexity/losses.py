"""The losses of sequences: by a model in this process, or by an engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import DataError
from tunesmith.types import IGNORED, Engine
from tunesmith_library_training.batches import Arrays, by_length, pad, shown
from tunesmith_library_training.log_probs import sequence_log_probs

from tunesmith_evaluator_perplexity.scores import Items, Loss

if TYPE_CHECKING:
    from tunesmith.types import LogProb

_THROUGH = "evaluator.perplexity.through=model lets the model itself read them"


def losses_by_model(
    model: Any, sequences: Sequence[Arrays], items: Sequence[Items], processor: Any, batch_tokens: int
) -> list[Loss]:
    """Run a model over sequences, those of like length together.

    Args:
        items: that each sequence shows.
        processor: of the model, which makes tensors of them.
        batch_tokens: of a batch, padding included.
    """
    device = model.get_input_embeddings().weight.device
    losses: dict[int, Loss] = {}
    was_training = model.training
    model.eval()
    try:
        for places in by_length([len(sequence["input_ids"]) for sequence in sequences], batch_tokens):
            batch = pad([sequences[place] for place in places])
            batch.update(shown(batch, [items[place] for place in places], processor))
            tensors = {name: values.to(device) for name, values in batch.items() if torch.is_tensor(values)}
            with torch.no_grad():
                found = sequence_log_probs(model, tensors)
            for place, total, tokens in zip(places, found.sums.tolist(), found.counts.tolist(), strict=True):
                losses[place] = Loss(-total, int(tokens))
    finally:
        model.train(was_training)
    return [losses[place] for place in range(len(sequences))]


def losses_by_engine(engine: Engine, sequences: Sequence[Arrays], items: Sequence[Items]) -> list[Loss]:
    """Let an engine score sequences. Raises: DataError for those that show something, which engines score none of."""
    for column in sorted({name for every in items for name, some in every.items() if len(some)}):
        raise DataError(f"perplexity: an engine scores text alone, and the data have {column}.\n  {_THROUGH}")
    scored = engine.score([sequence["input_ids"].tolist() for sequence in sequences])
    return [_summed(sequence, found) for sequence, found in zip(sequences, scored, strict=True)]


def _summed(sequence: Arrays, scored: Sequence[LogProb]) -> Loss:
    """The loss of a sequence whose tokens, all but the first, have these log-probabilities."""
    predicted = (sequence["labels"][1:] != IGNORED).tolist()
    kept = [found.value for found, counts in zip(scored, predicted, strict=True) if counts]
    return Loss(-math.fsum(kept), len(kept))
