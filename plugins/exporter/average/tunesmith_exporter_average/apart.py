"""How far the mean of LoRA's matrices is from the mean of what they do: a product of means is no mean of products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from tunesmith_library_publishing.inventory import Reader, Stored

from .averaging import mean

_PAIRS = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))


def distance(parts: Sequence[Mapping[str, Stored]], weights: Sequence[float]) -> float | None:
    """‖B A - Σ wᵢ Bᵢ Aᵢ‖ / ‖Σ wᵢ Bᵢ Aᵢ‖ in the Frobenius norm over all layers, A and B the means of Aᵢ and Bᵢ.

    Adapters of one training are near each other, and so are both; those that started apart have other A.

    Args:
        parts: the adapters, under the same names.
        weights: their sum is not 0; each counts by its share of it.

    Returns: None of adapters that have no pairs of matrices, or do nothing.
    """
    shares = [weight / sum(weights) for weight in weights]
    apart = whole = 0.0
    with ExitStack() as opened:
        readers = [opened.enter_context(Reader(part)) for part in parts]
        for name, other in _pairs(parts[0]):
            first, second = ([read(each) for read in readers] for each in (name, other))
            products = list(zip(shares, first, second, strict=True))
            whole += _squared(products)
            means = (-1.0, mean(first, weights), mean(second, weights))
            apart += _squared([*products, means])
    return (apart / whole) ** 0.5 if whole else None


def _pairs(tensors: Mapping[str, Stored]) -> list[tuple[str, str]]:
    """The names of each layer's A and B."""
    ends = [(name, first, second) for name in tensors for first, second in _PAIRS if name.endswith(first)]
    named = [(name, name.removesuffix(first) + second) for name, first, second in ends]
    return [(name, other) for name, other in named if other in tensors]


def _squared(products: Sequence[tuple[float, torch.Tensor, torch.Tensor]]) -> float:
    """‖Σ w B A‖² in float64, by the ranks alone: the trace of (Bᵀ B)(A Aᵀ) of all of them side by side."""
    a = torch.cat([weight * one.double().flatten(1) for weight, one, _ in products])
    b = torch.cat([other.double().flatten(1) for _, _, other in products], dim=1)
    return max(float(((b.T @ b) * (a @ a.T)).sum()), 0.0)
