"""The loss of the next token, computed only where a label is trained; for every loss that sums over tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from tunesmith.types import Batch, LossOutput

from tunesmith_stage_sft import head

IGNORED = -100
NOT_FOR_MODEL = ("labels", "weights", "num_items")

TokenLoss = Callable[..., torch.Tensor]
"""Logits (K, V) in fp32 and labels (K,) in, the loss of each token (K,) out, differentiable in the logits."""

Beside = Callable[[slice], torch.Tensor]
"""Which of the kept positions in, a tensor (n, …) of what a loss needs to know about them out."""


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log p(label): (K, V) fp32, (K,) -> (K,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def token_loss(
    model: Any,
    batch: Batch,
    function: TokenLoss = cross_entropy,
    chunk_size: int = 0,
    beside: Beside | None = None,
) -> LossOutput:
    """Sum a loss over the trained tokens of a batch.

    Where the model allows it, its output layer runs on `chunk_size` trained tokens at a time and yields their loss, so
    that the logits of the whole batch, (K, V), never exist.

    Args:
        model: as the trainer wrapped it.
        batch: from `batch.collate`.
        function: of logits and labels, and of what `beside` gives.
        chunk_size: tokens; 0 is as many as fit 128 MiB of logits.
        beside: gives what `function` is to know beside its logits and labels, for flattened positions: row b, position
            k of `trained_positions` (K of them) is number b·K + k.

    Returns: with the metric `accuracy`: the (weighted) number of tokens whose label has the highest logit.
    """
    targets = next_tokens(batch["labels"], IGNORED)
    keep = trained_positions(targets)
    targets = targets[:, keep]
    weights = next_tokens(batch["weights"], 0.0)[:, keep] if "weights" in batch else None
    correct: dict[int, torch.Tensor] = {}  # by the first row of a chunk: a model may be run again, in other chunks

    def summed(logits: torch.Tensor, rows: slice) -> torch.Tensor:
        labels = targets.reshape(-1)[rows]
        some = None if weights is None else weights.reshape(-1)[rows]
        if rows.start is None:
            correct.clear()
        correct[rows.start or 0] = sum_over_tokens(is_highest, logits.detach(), labels, some)
        known = () if beside is None else (beside(rows),)
        return sum_over_tokens(lambda *chunk: function(*chunk, *known), logits, labels, some)

    loss, outputs = head.run(model, model_inputs(batch), keep, summed, chunk_size)
    return LossOutput(
        loss=loss + routing_loss(model, outputs, batch["num_items"]),
        num_items=batch["num_items"],
        metrics={"accuracy": torch.stack(list(correct.values())).sum()},
    )


def is_highest(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether no logit is higher than the label's: (K, V), (K,) -> (K,) of 0 and 1."""
    return (logits.gather(1, labels[:, None])[:, 0] >= logits.amax(dim=1)).float()


def model_inputs(batch: Batch) -> dict[str, Any]:
    """What of a batch is for the model."""
    return {name: value for name, value in batch.items() if name not in NOT_FOR_MODEL}


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


def routing_loss(model: Any, outputs: Any, num_items: float) -> Any:
    """The load-balancing loss of a mixture of experts with `output_router_logits`, as a sum over items."""
    auxiliary = getattr(outputs, "aux_loss", None)
    if auxiliary is None:
        return 0.0
    coefficient = getattr(head.unwrap(model).config.get_text_config(), "router_aux_loss_coef", 0.0)
    return coefficient * auxiliary * num_items
