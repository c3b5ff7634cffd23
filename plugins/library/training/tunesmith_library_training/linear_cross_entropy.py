"""Output layer and cross entropy in one pass: a chunk's logits become their own gradient where they stand.

Of logits x the loss is logsumexp(x) - x[label], its gradient softmax(x) less one at the label: known as soon as the
logits are, without a graph and without a second tensor of their size. On CPUs the float32 arithmetic goes by blocks of
rows that stay in the caches. The same idea: Liger (arXiv 2410.10989).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tunesmith_library_training.head import PostProcessing
from tunesmith_library_training.known_gradients import WithGradients, WithRowGradients

_CHUNK_ELEMENTS = 2**25  # logits at a time
_CHUNK_ON_CPU = 2**24  # more rows make matrix products no faster there
_BLOCK_ON_CPU = 2**19  # logits at a time in float32: 2 MiB
_COLUMNS = 64  # logits whose highest is looked for together


@dataclass(frozen=True)
class Wanted:
    """Which gradients are to be computed."""

    hidden: bool = False
    weight: bool = False
    bias: bool = False


@dataclass
class Found:
    """The loss of K positions, and of its sum the gradients that were wanted, in the types of what they belong to."""

    losses: torch.Tensor  # (K,) fp32
    highest: torch.Tensor  # whether the label is the first of the highest logits: (K,) fp32, 0 or 1
    hidden: torch.Tensor | None = None  # (K, H)
    weight: torch.Tensor | None = None  # (V, H)
    bias: torch.Tensor | None = None  # (V,)


def summed_cross_entropy(
    hidden: torch.Tensor,
    layer: torch.nn.Linear,
    process: PostProcessing,
    labels: torch.Tensor,
    factors: torch.Tensor,
    chunk_size: int = 0,
) -> tuple[torch.Tensor, Found]:
    """The sum of `linear_cross_entropy`'s losses, a scalar that is differentiable in hidden states, weight and bias."""
    wanted = Wanted(*(_learns(tensor) for tensor in (hidden, layer.weight, layer.bias)))
    found = linear_cross_entropy(hidden, layer, process, labels, factors, wanted, chunk_size)
    pairs = ((hidden, found.hidden), (layer.weight, found.weight), (layer.bias, found.bias))
    known = [(tensor, gradient) for tensor, gradient in pairs if gradient is not None]
    loss = found.losses.sum()
    if known:
        tensors, gradients = zip(*known, strict=True)
        loss = WithGradients.apply(loss, gradients, *tensors)  # type: ignore[no-untyped-call]  # torch's
    return loss, found


def cross_entropies(
    hidden: torch.Tensor,
    layer: torch.nn.Linear,
    process: PostProcessing,
    labels: torch.Tensor,
    factors: torch.Tensor,
    chunk_size: int = 0,
) -> torch.Tensor:
    """`linear_cross_entropy`'s losses (K,), differentiable in the hidden states; the layer is frozen."""
    wanted = Wanted(hidden=_learns(hidden))
    found = linear_cross_entropy(hidden, layer, process, labels, factors, wanted, chunk_size)
    if found.hidden is None:
        return found.losses
    losses: torch.Tensor = WithRowGradients.apply(found.losses, found.hidden, hidden)  # type: ignore[no-untyped-call]
    return losses


def _learns(tensor: torch.Tensor | None) -> bool:
    return torch.is_grad_enabled() and tensor is not None and tensor.requires_grad


@torch.no_grad()
def linear_cross_entropy(
    hidden: torch.Tensor,
    layer: torch.nn.Linear,
    process: PostProcessing,
    labels: torch.Tensor,
    factors: torch.Tensor,
    wanted: Wanted,
    chunk_size: int = 0,
) -> Found:
    """The cross entropy of an output layer's logits, times a factor of each row, and the gradients of its sum.

    Args:
        hidden: (K, H).
        layer: its weight (V, H) and bias; computed in autocast's type where that is on.
        process: what the model does to its logits.
        labels: int64 (K,), none negative.
        factors: fp32 (K,); 0 for what is not trained.
        chunk_size: rows whose logits exist at a time; 0 is for `rows_at_a_time` to choose.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    inputs, weight = hidden.to(dtype), layer.weight.to(dtype)
    bias = None if layer.bias is None else layer.bias.to(dtype)
    found = Found(torch.empty_like(factors), torch.empty_like(factors))
    found.hidden = torch.empty_like(inputs) if wanted.hidden else None
    with torch.autocast(kind, enabled=False):
        for rows in _slices(len(hidden), chunk_size or rows_at_a_time(len(hidden), len(weight), kind)):
            logits = F.linear(inputs[rows], weight, bias)
            losses, highest = _in_place(logits, labels[rows], factors[rows], process, wanted != Wanted())
            found.losses[rows], found.highest[rows] = losses, highest
            if found.hidden is not None:
                torch.mm(logits, weight, out=found.hidden[rows])
            if wanted.weight:
                found.weight = _plus_product(found.weight, logits, inputs[rows])
            if wanted.bias:
                some = logits.sum(0, dtype=torch.float32)
                found.bias = some if found.bias is None else found.bias.add_(some)
            del logits  # else they would be there together with those of the next chunk
    found.hidden = None if found.hidden is None else found.hidden.to(hidden.dtype)
    found.weight = None if found.weight is None else found.weight.to(layer.weight.dtype)
    found.bias = None if found.bias is None else found.bias.to(layer.bias.dtype)
    return found


def rows_at_a_time(rows: int, vocabulary: int, device: str) -> int:
    """How many rows make a chunk: all chunks are of like size, since a small one is a slow matrix product."""
    most = max((_CHUNK_ON_CPU if device == "cpu" else _CHUNK_ELEMENTS) // vocabulary, 1)
    return max(math.ceil(rows / math.ceil(rows / most)), 1) if rows else 1


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _plus_product(total: torch.Tensor | None, gradient: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """`total` (V, H) and what a chunk (n, V), (n, H) adds; of several chunks the sum is float32."""
    if total is None:
        return gradient.t() @ inputs
    total = total.float()
    return total.addmm_(gradient.t(), inputs) if gradient.dtype == total.dtype else total.add_(gradient.t() @ inputs)


def _in_place(
    logits: torch.Tensor, labels: torch.Tensor, factors: torch.Tensor, process: PostProcessing, learns: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (n,) and hits (n,) of logits (n, V), which become the gradient of the losses' sum if that is wanted."""
    size = max(_BLOCK_ON_CPU // logits.shape[1], 1) if logits.is_cpu else len(logits)
    losses, hits = torch.empty_like(factors), torch.empty_like(factors)
    for rows in _slices(len(logits), size):
        part, of_label = logits[rows], labels[rows, None]
        # on GPUs the softmax reads 16 bits and computes in 32
        seen = process(part.float()) if part.is_cpu or process != PostProcessing() else part
        likeliest = _first_highest(seen)
        top, reached = (seen.gather(1, place).float() for place in (likeliest, of_label))
        probabilities = torch.softmax(seen, 1, dtype=torch.float32)
        # the highest probability is 1 / Σ exp(x - top)
        losses[rows] = (top - reached - probabilities.gather(1, likeliest).log())[:, 0] * factors[rows]
        hits[rows] = (likeliest == of_label)[:, 0].float()
        if learns:
            gradient = probabilities.scatter_add_(1, of_label, top.new_full((1, 1), -1.0).expand_as(top))
            gradient.mul_(process.scale * factors[rows, None])
            part.copy_(gradient if process.cap is None else gradient.mul_(1 - (seen / process.cap).square()))
    return losses, hits


def _first_highest(logits: torch.Tensor) -> torch.Tensor:
    """The place of each row's highest logit, of equal ones the first: (n, V) -> (n, 1) int64.

    On CPUs the maximum of a few columns is vectorised, and that of a row with its place is not.
    """
    rows, vocabulary = logits.shape
    if not logits.is_cpu or vocabulary % _COLUMNS:
        return logits.argmax(1, keepdim=True)
    columns = logits.view(rows, -1, _COLUMNS)
    place = columns.amax(2).argmax(1, keepdim=True)
    within = columns.gather(1, place[:, :, None].expand(-1, -1, _COLUMNS))[:, 0].argmax(1, keepdim=True)
    return place * _COLUMNS + within
