"""A linear layer that holds AQLM's codes and computes its weight from them at each use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_WHOLE = (torch.int8, torch.int16, torch.int32)


def dequantise(codes: Tensor, codebooks: Tensor, scales: Tensor) -> Tensor:
    """The weight W[i o + a, j g + c] = s_i Σ_m C_m[b_ijm][a, c], with groups of o outputs and g inputs.

    Args:
        codes: (out / o, in / g, M), whole numbers; of 2^B entries of a codebook, those above the half are stored
            negative, as two's complement in the smallest signed type.
        codebooks: (M, 2^B, o, g), floating point.
        scales: (out / o, 1, 1, 1).

    Returns: the weight (out, in), in the numbers of the codebooks.
    """
    books, entries, rows, columns = codebooks.shape
    first = torch.arange(0, books * entries, entries, device=codes.device)
    indices = (codes.long() % entries + first).flatten(0, 1)  # (out / o · in / g, M), into all codebooks in a row
    groups: Tensor = functional.embedding_bag(indices, codebooks.flatten(0, 1).flatten(1), mode="sum")
    groups = groups.unflatten(0, codes.shape[:2]).unflatten(-1, (rows, columns)) * scales
    return groups.transpose(1, 2).flatten(2).flatten(0, 1)


class AqlmLinear(nn.Linear):
    """A frozen linear layer whose weight (out, in) is computed from codes (arXiv 2401.06118, section 3).

    Its tensors have the names and shapes of an AQLM checkpoint. It is an `nn.Linear`, so that adapters know it.
    """

    def __init__(
        self, linear: nn.Linear, num_codebooks: int, nbits_per_codebook: int, out_group_size: int, in_group_size: int
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        device, dtype = linear.weight.device, linear.weight.dtype
        rows, columns = self.out_features // out_group_size, self.in_features // in_group_size
        whole = next(kind for kind in _WHOLE if torch.iinfo(kind).bits >= nbits_per_codebook)
        shape = (num_codebooks, 2**nbits_per_codebook, out_group_size, in_group_size)
        self.codes = _frozen(torch.empty(rows, columns, num_codebooks, device=device, dtype=whole))
        self.codebooks = _frozen(torch.empty(shape, device=device, dtype=dtype))
        self.scales = _frozen(torch.empty(rows, 1, 1, 1, device=device, dtype=dtype))
        bias = None if linear.bias is None else _frozen(torch.empty_like(linear.bias))
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, and never set
        """The weight (out, in), computed anew at each use."""
        return dequantise(self.codes, self.codebooks, self.scales)

    def in_float32(self) -> Tensor:
        """The weight (out, in) as it is computed in float32."""
        return dequantise(self.codes, self.codebooks.float(), self.scales.float())

    def forward(self, x: Tensor) -> Tensor:
        # Backward computes the weight again instead of keeping it: that is what makes training small.
        output: Tensor = checkpoint(super().forward, x, use_reentrant=False, preserve_rng_state=False)
        return output


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
