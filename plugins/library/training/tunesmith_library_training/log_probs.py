"""Log-probabilities of whole completions, for stages that compare them; the logits of a batch never exist at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from tunesmith.types import IGNORED, Batch, model_inputs

from tunesmith_library_training import head, parts
from tunesmith_library_training.balancing import over_processes
from tunesmith_library_training.linear_cross_entropy import cross_entropies
from tunesmith_library_training.on_host import trained_positions
from tunesmith_library_training.routing import routing_loss, routing_metrics
from tunesmith_library_training.token_loss import next_tokens


@dataclass(frozen=True)
class SequenceLogProbs:
    """Of the trained tokens of N sequences, in the order of the batch: all (N,), fp32."""

    sums: torch.Tensor  # Σ w · log p(token | before), by the batch's `weights`; all 1 when there are none
    weighted: torch.Tensor  # the same, each term times the batch's `length_weights`; `sums` when there are none
    counts: torch.Tensor  # Σ w, 1 where nothing is trained
    routing_loss: Any  # of a mixture of experts, per item of the batch: scalar tensor, or 0.0
    routing: Mapping[str, torch.Tensor]  # what is logged of it, as a sum over the items of the batch

    @property
    def means(self) -> torch.Tensor:
        """Per token, (N,): sums by the sum of the weights."""
        return self.sums / self.counts


def sequence_log_probs(model: Any, batch: Batch, chunk_size: int = 0) -> SequenceLogProbs:
    """Run a model over a batch, padded or not, and sum the log-probabilities of each sequence's trained tokens.

    Args:
        model: as the trainer wrapped it.
        batch: from `batch.pad` or `batch.concatenate`.
        chunk_size: tokens whose logits exist at a time; 0 is as many as fit 128 MiB.
    """
    part = parts.part_of(head.unwrap(model), batch)
    batch = part.batch
    every_target = next_tokens(batch["labels"], IGNORED)
    keep = part.positions(trained_positions(batch["labels"]))
    targets = every_target[:, keep].reshape(-1)
    trained = targets != IGNORED

    def values_of(logits: torch.Tensor, rows: slice) -> torch.Tensor:
        log_probs = -F.cross_entropy(logits.float(), targets[rows].clamp(min=0), reduction="none")
        return log_probs.masked_fill(~trained[rows], 0.0)

    def values_of_hidden(hidden: torch.Tensor, layer: Any, process: head.PostProcessing) -> torch.Tensor:
        return -cross_entropies(hidden, layer, process, targets.clamp(min=0), trained.float(), chunk_size)

    inputs = model_inputs(batch)
    inputs.pop("length_weights", None)
    values, outputs = head.run(model, inputs, keep, values_of, chunk_size, head.chunked_values, values_of_hidden)
    over_processes(model, inputs, outputs, batch.get("num_items", 1.0))
    numbers, count = sequence_numbers(batch)
    numbers = numbers[:, keep].reshape(-1)

    def summed(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(count).index_add(0, numbers, values)

    def of_labels(name: str) -> torch.Tensor:
        return next_tokens(batch[name], 0.0)[:, keep].reshape(-1)

    weights = trained.to(values.dtype)
    if "weights" in batch:
        weights = weights * of_labels("weights")
        values = values * weights
    by_length = values * of_labels("length_weights") if "length_weights" in batch else values
    sums, weighted, counts = part.total(torch.stack([summed(each) for each in (values, by_length, weights)]))
    counts = torch.where(counts > 0, counts, torch.ones_like(counts))
    routing = routing_metrics(outputs, batch.get("num_items", 1.0))
    return SequenceLogProbs(sums, weighted, counts, routing_loss(model, outputs, 1.0), routing)


def sequence_numbers(batch: Batch) -> tuple[torch.Tensor, int]:
    """Which sequence each token of `input_ids` belongs to: int64 (B, T); and how many sequences there are."""
    rows, length = batch["input_ids"].shape
    device = batch["input_ids"].device
    bounds = batch.get("cu_seq_lens_q")
    if bounds is None:
        return torch.arange(rows, device=device)[:, None].expand(rows, length), rows
    tokens = torch.arange(length, device=device, dtype=bounds.dtype)
    return torch.searchsorted(bounds[1:], tokens, right=True)[None], len(bounds) - 1
