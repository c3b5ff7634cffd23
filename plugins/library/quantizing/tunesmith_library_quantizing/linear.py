"""A linear layer of packed weights, y = d ((x / c) Wᵀ) + b with W = s (q - z) made anew for every product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tunesmith_library_quantizing.grid import Rounded, side_by_side
from tunesmith_library_quantizing.packing import pack, unpack

TENSORS = ("qweight", "qzeros", "scales", "g_idx", "bias")
SCALES = ("input_scale", "output_scale")


class PackedLinear(nn.Linear):
    """A frozen linear layer of 2 to 8 bits, whose gradient goes to the input; peft adapts it like any `nn.Linear`.

    Its tensors are those of a stored GPTQ model, but for the zero points, which are not lessened by one:
    `qweight` (in · bits / 32, out) int32, `qzeros` (groups, out · bits / 32) int32, `scales` (groups, out) float16,
    `g_idx` (in,) int32, `bias` (out,). They are parameters, not buffers, so that data parallelism sends them only once.
    Two more are there where AWQ scaled the layer: `input_scale` c (in,) and `output_scale` d (out,), float32.
    `weight` (out, in) is computed when it is asked for, and cannot be set.
    """

    qweight: nn.Parameter
    qzeros: nn.Parameter
    scales: nn.Parameter
    g_idx: nn.Parameter
    input_scale: nn.Parameter | None
    output_scale: nn.Parameter | None

    def __init__(self, tensors: Mapping[str, torch.Tensor | None], dtype: torch.dtype) -> None:
        """Take the tensors above by name, the bias None where there is none.

        Args:
            dtype: of `weight`. Products are computed in the numbers of their input.
        """
        super(nn.Linear, self).__init__()  # nn.Linear's own would make a weight
        for name in (*TENSORS, *SCALES):
            tensor = tensors.get(name)
            self.register_parameter(name, None if tensor is None else nn.Parameter(tensor, requires_grad=False))
        self.in_features, self.out_features = len(self.g_idx), self.qweight.shape[1]
        self.bits = 32 * len(self.qweight) // self.in_features
        self.dtype = dtype
        usual = side_by_side(self.in_features, len(self.scales), self.g_idx)
        self._ordered = bool(torch.equal(self.g_idx, usual))

    @classmethod
    def of(cls, weight: Rounded, bits: int, layer: nn.Linear) -> PackedLinear:
        """Pack the rounded weight of a layer."""
        tensors = {
            "qweight": pack(weight.codes.T, bits),
            "qzeros": pack(weight.zeros, bits).T.contiguous(),
            "scales": weight.scales.T.contiguous(),
            "g_idx": weight.groups,
            "bias": None if layer.bias is None else layer.bias.detach(),
            "input_scale": weight.input_scale,
            "output_scale": weight.output_scale,
        }
        return cls(tensors, layer.weight.dtype)

    def take(self, other: PackedLinear) -> None:
        """Hold another layer's numbers; it has the same sizes."""
        for name in (*TENSORS, *SCALES):
            if getattr(self, name) is not None:
                getattr(self, name).data.copy_(getattr(other, name))
        self._ordered = other._ordered

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]  # computed, and never set
        """The weight (out, in)."""
        weight = self.transposed(self.dtype).T
        weight = weight if self.input_scale is None else weight / self.input_scale.to(self.dtype)
        return weight if self.output_scale is None else weight * self.output_scale[:, None].to(self.dtype)

    def in_float32(self) -> torch.Tensor:
        """The weight (out, in) as it is computed in float32, with the scales around it."""
        weight = self.transposed(torch.float32).T
        weight = weight if self.input_scale is None else weight / self.input_scale.float()
        return weight if self.output_scale is None else weight * self.output_scale[:, None].float()

    def transposed(self, dtype: torch.dtype) -> torch.Tensor:
        """What is packed, as (in, out); computed in float32 or, for a `dtype` of 16 bits, in that of the scales."""
        scales = self.scales.float() if dtype == torch.float32 else self.scales
        codes, zeros = unpack(self.qweight, self.bits), unpack(self.qzeros.T, self.bits).T
        if self._ordered:
            grouped: torch.Tensor = codes.unflatten(0, (len(scales), -1)).sub_(zeros[:, None])
            return (grouped * scales[:, None]).flatten(0, 1).to(dtype)
        groups = self.g_idx.long()
        return (codes.sub_(zeros[groups]) * scales[groups]).to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out), in the numbers of x or of autocast."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        x = x.to(dtype)
        x = x if self.input_scale is None else x / self.input_scale.to(dtype)
        product: torch.Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        product = product if self.output_scale is None else product * self.output_scale.to(dtype)
        return product if self.bias is None else product + self.bias.to(dtype)


class _Product(torch.autograd.Function):
    """x Wᵀ that keeps nothing for the backward pass, which makes W again: ∂L/∂x = (∂L/∂y) W."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: PackedLinear) -> torch.Tensor:
        ctx.layer = layer
        return x @ layer.transposed(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.layer.transposed(gradient.dtype).T, None
