"""Fused experts in HQQ: each expert's matrix as a linear layer's, all of them read in one go.

hqq has no layer for parameters of three axes. Each matrix (out, in) is quantised by itself, as `HQQLinear` would, so
that no group reaches over two experts; the whole numbers of all experts are packed together.
"""

from __future__ import annotations

import torch
from hqq.core.quantize import BaseQuantizeConfig, Quantizer
from torch import Tensor
from tunesmith_library_weights.experts import ExpertWeight, Packed
from tunesmith_library_weights.packing import device_of


class HqqExperts(Packed):
    """The parameter s (q - z) of E experts, in `shape` (E, out, in), or (E, in, out) where it is transposed.

    Whole numbers q are packed by hqq; with axis 1 they are (groups, group_size), with axis 0 (group_size, groups),
    groups of all experts one after the other. Scales s and zero points z are (groups, 1) or (1, groups).
    """

    scale: Tensor
    zero: Tensor

    def __init__(self, weight: ExpertWeight, bits: int, axis: int, scale: Tensor, zero: Tensor) -> None:
        super().__init__(weight.shape, scale.dtype)
        self.bits, self.axis, self.transposed = bits, axis, weight.transposed
        self.register_buffer("scale", scale)
        self.register_buffer("zero", zero)

    def dequantise(self, packed: Tensor) -> Tensor:
        """In the numbers of the scales."""
        numbers = Quantizer.unpack[Quantizer.bit_to_packing[self.bits]](packed, dtype=self.scale.dtype)
        count, rows, columns = self.shape
        if self.bits == 3:  # ten numbers in 32 bits: the last rows are filled up
            numbers = numbers[: self.shape.numel() // numbers.shape[1]]
        values: Tensor = numbers.sub_(self.zero).mul_(self.scale)
        if self.axis == 0:
            values = values.unflatten(1, (count, -1)).transpose(0, 1)
        if self.transposed:
            return values.reshape(count, columns, rows).transpose(1, 2)
        return values.reshape(self.shape)


def pack(weight: ExpertWeight, value: Tensor, *, bits: int, group_size: int, axis: int) -> tuple[Tensor, HqqExperts]:
    """Quantise a parameter, expert by expert: what is stored, and how it is read, on the device that will compute."""
    device = device_of(value)
    options = BaseQuantizeConfig(nbits=bits, group_size=group_size, axis=axis)["weight_quant_params"]
    options |= {"bitpack": False, "device": str(device)}
    matrices = value.transpose(1, 2) if weight.transposed else value
    made = [Quantizer.quantize(matrix.to(device), **options) for matrix in matrices]
    across = 1 - axis  # the axis along which groups lie side by side
    numbers = torch.cat([codes.to(torch.uint8) for codes, _ in made], across)
    scale, zero = (torch.cat([meta[key] for _, meta in made], across).to(value.dtype) for key in ("scale", "zero"))
    stored = Quantizer.pack[Quantizer.bit_to_packing[bits]](numbers)
    return stored, HqqExperts(weight, bits, axis, scale, zero)
