"""The loss of the next token, computed only where a label is trained; for every loss that sums over tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from tunesmith.types import IGNORED, Batch, LossOutput, model_inputs

from tunesmith_library_training import head, parts
from tunesmith_library_training.balancing import over_processes
from tunesmith_library_training.by_dataset import named, sums_by_dataset
from tunesmith_library_training.linear_cross_entropy import summed_cross_entropy
from tunesmith_library_training.on_host import trained_positions
from tunesmith_library_training.routing import routing_loss, routing_metrics

TokenLoss = Callable[..., torch.Tensor]
"""Logits (K, V) in fp32 and labels (K,) in, the loss of each token (K,) out, differentiable in the logits."""

Beside = Callable[[slice], torch.Tensor]
"""Which of the kept positions in, a tensor (n, …) of what a loss needs to know about them out."""

Kernel = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""`kernel(hidden, weight, bias, labels, weights, softcap)`: output layer and cross entropy in one, for `fused`.

Hidden states (K, H), weight (V, H), bias (V,) or None, labels (K,) with -100 where not trained, weights (K,) of the
labels or None, softcap c of c·tanh(x/c) or None. Gives the sum of the loss, a scalar in fp32, differentiable in the
first three, and the label that each position finds likeliest, int64 (K,).
"""

_kernel: ContextVar[Kernel | None] = ContextVar("kernel of the cross entropy", default=None)


@contextmanager
def fused(kernel: Kernel) -> Iterator[None]:
    """Compute the cross entropy of `token_loss` by a kernel within this block, where the output layer is a plain one.

    For patches, which wrap `compute_loss`. Other losses, and output layers that are quantised or have an adapter, keep
    to logits in chunks.
    """
    token = _kernel.set(kernel)
    try:
        yield
    finally:
        _kernel.reset(token)


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

    Returns: with the metrics `accuracy`, the (weighted) number of tokens whose label has the highest logit, and
        `loss_NAME`, `function` over the tokens of a data set, where there are several; not with a kernel (`fused`), and
        without what a mixture of experts adds; and of that `router_aux_loss`.
    """
    part = parts.part_of(head.unwrap(model), batch)
    batch = part.batch
    targets = next_tokens(batch["labels"], IGNORED)
    keep = part.positions(trained_positions(batch["labels"]))
    weights = next_tokens(batch["weights"], 0.0)[:, keep].reshape(-1) if "weights" in batch else None
    total = _Sum(function, targets[:, keep].reshape(-1), weights, beside, chunk_size)
    if "datasets" in batch:  # a token is of the same set as the one before it, wherever it is trained
        total.datasets, total.names = batch["datasets"][:, keep].reshape(-1), batch["dataset_names"]
    fused = total.of_hidden if function is cross_entropy else None
    loss, outputs = head.run(model, model_inputs(batch), keep, total.of_logits, chunk_size, fused=fused)
    over_processes(model, model_inputs(batch), outputs, batch["num_items"])
    loss, metrics = parts.totals(part, loss, total.metrics())
    return LossOutput(
        loss=loss + routing_loss(model, outputs, batch["num_items"]),
        num_items=batch["num_items"],
        metrics=metrics | routing_metrics(outputs, batch["num_items"]),
    )


class _Sum:
    """The sum of a loss over flattened positions, how many of their labels are the likeliest, and each data set's."""

    datasets: torch.Tensor | None = None  # the number of each position's data set
    names: Sequence[str] = ()

    def __init__(
        self,
        function: TokenLoss,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        beside: Beside | None,
        chunk_size: int,
    ) -> None:
        self.function, self.labels, self.weights, self.beside = function, labels, weights, beside
        self.chunk_size = chunk_size
        # by a chunk's first row: a model may be run again, in other chunks
        self.correct: dict[int, torch.Tensor] = {}
        self.by_dataset: dict[int, torch.Tensor] = {}

    def of_logits(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        """The sum over some positions, from their logits (n, V)."""
        labels = self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        if rows.start is None:
            self.correct.clear()
            self.by_dataset.clear()
        self.correct[rows.start or 0] = of_tokens(is_highest, logits.detach(), labels, weights).sum()
        known = () if self.beside is None else (self.beside(rows),)
        losses = of_tokens(lambda *chunk: self.function(*chunk, *known), logits, labels, weights)
        if self.datasets is not None:
            self.by_dataset[rows.start or 0] = sums_by_dataset(losses.detach(), self.datasets[rows], self.names)
        return losses.sum()

    def of_hidden(self, hidden: torch.Tensor, layer: torch.nn.Linear, process: head.PostProcessing) -> torch.Tensor:
        """The sum of the cross entropy over all positions, from their hidden states (K, H)."""
        kernel = _kernel.get()
        if kernel is None:
            return self._in_one_pass(hidden, layer, process)
        bias: torch.Tensor | None = layer.bias
        if process.scale != 1.0:
            hidden, bias = hidden * process.scale, None if bias is None else bias * process.scale
        loss, likeliest = kernel(hidden, layer.weight, bias, self.labels, self.weights, process.cap)
        right = (likeliest == self.labels).float()
        self.correct = {0: (right if self.weights is None else right * self.weights).sum()}
        return loss

    def _in_one_pass(self, hidden: torch.Tensor, layer: torch.nn.Linear, process: head.PostProcessing) -> torch.Tensor:
        trained = (self.labels != IGNORED).float()
        factors = trained if self.weights is None else trained * self.weights
        labels = self.labels.clamp(min=0)
        loss, found = summed_cross_entropy(hidden, layer, process, labels, factors, self.chunk_size)
        self.correct = {0: (found.highest * factors).sum()}
        if self.datasets is not None:
            self.by_dataset = {0: sums_by_dataset(found.losses, self.datasets, self.names)}
        return loss

    def metrics(self) -> dict[str, torch.Tensor]:
        """What is known once the model has run."""
        found = {"accuracy": torch.stack(list(self.correct.values())).sum()}
        if self.datasets is not None and self.by_dataset:
            sums = torch.stack(list(self.by_dataset.values())).sum(dim=0)
            trained = (self.labels != IGNORED).float()
            counted = trained if self.weights is None else trained * self.weights
            counts = sums_by_dataset(counted, self.datasets, self.names)
            found |= named(torch.stack([sums, counts]), self.names)
        return found


def is_highest(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether a label is what greedy decoding would say, of equal logits the first: (K, V), (K,) -> (K,) of 0 and 1."""
    return (logits.argmax(dim=1) == labels).float()


def next_tokens(values: torch.Tensor, last: float) -> torch.Tensor:
    """What each position predicts: `values` (B, T) moved by one to the left, with `last` at the end."""
    return F.pad(values[:, 1:], (0, 1), value=last)


def of_tokens(
    function: TokenLoss, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """`function` of the labels that are not -100, times their weights; 0 for the others.

    Args:
        logits: (K, V); labels: (K,) int64; weights: (K,) or None.

    Returns: (K,) fp32.
    """
    trained = labels != IGNORED
    losses = function(logits.float(), labels.clamp(min=0))
    losses = losses if weights is None else losses * weights
    return losses.masked_fill(~trained, 0.0)
