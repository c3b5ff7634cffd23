"""Causal attention of a concatenated batch on the CPU: sequences of like length in one call, in the faster exact way.

torch's fused attention computes bf16 on CPUs slower than fp32, its backward pass above all; written out as products of
matrices, which have instructions of their own for bf16, it takes from two fifths to nine tenths of that time up to some
hundred tokens (docs/benchmarks.md). Beyond, its T² weights no longer fit the caches. fp32 is always the fused way.
Which way a sequence goes follows from its type and length alone, so that runs repeat each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

LONGEST, WIDE = 256, 32  # tokens of a sequence whose attention is written out in bf16; half of them for thinner heads
ALIKE = 0.75  # the shortest of the sequences that are computed together, of the longest
TOGETHER = 2**18  # of their weights, heads · T² each, which must stay in the caches


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: Sequence[int], scaling: float | None
) -> torch.Tensor:
    """Causal attention within each sequence.

    Args:
        query: (1, heads, T, D); key and value may have fewer heads, of which each serves as many in a row.
        lengths: of the sequences, which stand in this order in T.
        scaling: of the scores; None is D^-0.5.

    Returns: (1, T, heads, D).
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    groups = together(lengths, query.shape[1]) if query.dtype == torch.bfloat16 else [[n] for n in range(len(lengths))]
    if len(lengths) == 1:
        return _causal(query, key, value, scale).transpose(1, 2)
    parts = [tensor[0].transpose(0, 1).split(list(lengths)) for tensor in (query, key, value)]  # (T, heads, D)
    found: list[torch.Tensor] = [query] * len(lengths)
    for places in groups:
        q, k, v = (_stacked([part[place] for place in places]) for part in parts)
        output = _causal(q, k, v, scale).transpose(1, 2)  # (n, T, heads, D)
        for row, place in enumerate(places):
            found[place] = output[row, : lengths[place]]
    return torch.cat(found).unsqueeze(0)


def together(lengths: Sequence[int], heads: int) -> list[list[int]]:
    """The places of sequences that are computed in one call, each padded to the longest of them.

    What stands behind a sequence is seen by none of its tokens, so that padding needs no mask.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        first = lengths[groups[-1][0]] if groups else 0
        if groups and lengths[place] >= ALIKE * first and (len(groups[-1]) + 1) * heads * first**2 <= TOGETHER:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _stacked(sequences: list[torch.Tensor]) -> torch.Tensor:
    """Sequences (T, heads, D) as (n, heads, longest, D)."""
    if len(sequences) == 1:
        return sequences[0].transpose(0, 1).unsqueeze(0)
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True).transpose(1, 2)


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention of (n, heads, T, D)."""
    if query.dtype == torch.bfloat16 and query.shape[2] <= LONGEST // (1 + (query.shape[3] < WIDE)):
        written: torch.Tensor = _WrittenOut.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
        return written
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)


class _WrittenOut(torch.autograd.Function):
    """Attention as products of matrices: scores and their softmax in fp32, products in the type of the inputs.

    With P the weights, O = P V. Of a gradient dO: dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP - rowsum(P ∘ dP)), dQ = s dS K,
    dK = s dSᵀ Q (Dao et al. 2022, arXiv 2205.14135, appendix B.2). P is computed again, not kept.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.scale = scale
        return torch.matmul(_weights(query, key, scale), value).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        weights = _weights(query, key, ctx.scale)
        rows, outer = _by_key_head(query, key), _by_key_head(outer, key)
        of_value = torch.matmul(weights.transpose(2, 3), outer)
        of_weights = torch.matmul(outer, value.transpose(2, 3)).float()
        known = weights.float()
        of_scores = of_weights.sub_((known * of_weights).sum(-1, keepdim=True)).mul_(known).mul_(ctx.scale)
        scores = of_scores.to(value.dtype)
        of_query = torch.matmul(scores, key).view(query.shape)
        return of_query, torch.matmul(scores.transpose(2, 3), rows), of_value, None


def _weights(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """The weights (n, key heads, heads / key heads · T, T), in the type of the inputs."""
    count, heads, length, _ = key.shape
    scores = torch.matmul(_by_key_head(query, key), key.transpose(2, 3)).float().mul_(scale)
    hidden = torch.full((length, length), -torch.inf).triu_(1)
    scores.view(count, heads, -1, length, length).add_(hidden)
    return scores.softmax(-1).to(key.dtype)


def _by_key_head(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(n, heads, T, D) as (n, key heads, heads / key heads · T, D): all that look at the same keys below each other."""
    return query.reshape(key.shape[0], key.shape[1], -1, query.shape[3])
