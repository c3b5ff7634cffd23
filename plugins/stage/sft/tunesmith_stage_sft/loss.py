"""The loss of the next token, computed only where a label is trained; for every loss that sums over tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from tunesmith.types import Batch, LossOutput

from tunesmith_stage_sft import head

IGNORED = -100
_NOT_FOR_MODEL = ("labels", "weights", "num_items")

TokenLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Logits (K, V) in fp32 and labels (K,) in, the loss of each token (K,) out, differentiable in the logits."""


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log p(label): (K, V) fp32, (K,) -> (K,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def token_loss(model: Any, batch: Batch, function: TokenLoss = cross_entropy, chunk_size: int = 0) -> LossOutput:
    """Sum a loss over the trained tokens of a batch.

    Where the model allows it, its output layer runs on `chunk_size` trained tokens at a time and yields their loss, so
    that the logits of the whole batch, (K, V), never exist.

    Args:
        model: as the trainer wrapped it.
        batch: from `batch.collate`.
        chunk_size: tokens; 0 is as many as fit 128 MiB of logits.
    """
    targets = next_tokens(batch["labels"], IGNORED)
    keep = trained_positions(targets)
    targets = targets[:, keep]
    weights = next_tokens(batch["weights"], 0.0)[:, keep] if "weights" in batch else None
    inputs = {name: value for name, value in batch.items() if name not in _NOT_FOR_MODEL}

    def summed(logits: torch.Tensor, rows: slice) -> torch.Tensor:
        some = None if weights is None else weights.reshape(-1)[rows]
        return sum_over_tokens(function, logits, targets.reshape(-1)[rows], some)

    loss, outputs = head.run(model, inputs, keep, summed, chunk_size)
    return LossOutput(loss=loss + _routing_loss(model, outputs, batch["num_items"]), num_items=batch["num_items"])


def next_tokens(values: torch.Tensor, last: float) -> torch.Tensor:
    """What each position predicts: `values` (B, T) moved by one to the left, with `last` at the end."""
    return F.pad(values[:, 1:], (0, 1), value=last)


def trained_positions(targets: torch.Tensor) -> torch.Tensor:
    """The positions (K,) of dim 1 at which some row of `targets` (B, T) is trained; at least one."""
    keep = (targets != IGNORED).any(dim=0).nonzero().flatten()
    return keep if keep.numel() else keep.new_zeros(1)


def sum_over_tokens(
    function: TokenLoss, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Sum of `function` over the labels that are not -100, times their weights.

    Args:
        logits: (K, V); labels: (K,) int64; weights: (K,) or None.

    Returns: scalar, fp32.
    """
    trained = labels != IGNORED
    losses = function(logits.float(), labels.clamp(min=0))
    losses = losses if weights is None else losses * weights
    return losses.masked_fill(~trained, 0.0).sum()


def _routing_loss(model: Any, outputs: Any, num_items: float) -> Any:
    """The load-balancing loss of a mixture of experts with `output_router_logits`, as a sum over items."""
    auxiliary = getattr(outputs, "aux_loss", None)
    if auxiliary is None:
        return 0.0
    coefficient = getattr(head.unwrap(model).config.get_text_config(), "router_aux_loss_coef", 0.0)
    return coefficient * auxiliary * num_items
