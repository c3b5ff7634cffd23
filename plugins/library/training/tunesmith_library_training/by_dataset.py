"""The loss of each data set by itself, where a batch says which of several its items are of. Every stage can log it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tunesmith.types import Batch


def losses_by_dataset(losses: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    """The metrics `loss_NAME` of a loss that has one value per example.

    Args:
        losses: (B,), in the order of the examples, without their weights.
        batch: from `collate_answers`.

    Returns: per data set of the batch the sum of its losses and their number, (2,) fp32, both by the weights of rows
        where those have any; {} when there is only one.
    """
    if "datasets" not in batch:
        return {}
    weights = batch.get("row_weights", torch.ones_like(losses))
    sums = sums_by_dataset(torch.stack([losses.detach() * weights, weights]), batch["datasets"], batch["dataset_names"])
    return named(sums, batch["dataset_names"])


def sums_by_dataset(values: torch.Tensor, datasets: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Sum values (…, K) over the items of each data set: (…, number of names) fp32.

    Args:
        datasets: number of each item's data set, int64 (K,).
    """
    zeros = values.new_zeros(*values.shape[:-1], len(names), dtype=torch.float32)
    return zeros.index_add(-1, datasets, values.float())


def named(sums: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """The metrics of sums and numbers of items, (2, number of names)."""
    return {f"loss_{name}": sums[:, number] for number, name in enumerate(names)}
