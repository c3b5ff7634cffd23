"""EETQ's layer for training: an `nn.Linear` to adapters, with the gradient of inputs of any shape.

transformers' own layer computes the gradient for a batch of one sequence only, and is of a class that peft adapts only
where a package `eetq` is installed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EetqLinear(nn.Linear):
    """A frozen linear layer that computes by another, y = x W^T + b, whose weight is known from its outputs alone.

    Args:
        kernel: the layer that multiplies: it holds `weight` (in, out) int8, in the kernel's own order, and `bias`.
    """

    def __init__(self, kernel: Any) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = kernel.weight.shape
        self.kernel = kernel.requires_grad_(False)

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]  # the kernel's, and never set
        bias: Tensor | None = self.kernel.bias
        return bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, and never set
        """The weight (out, in), float16: the outputs for the unit vectors, computed anew at each use."""
        with torch.no_grad():
            unit = torch.eye(self.in_features, dtype=torch.float16, device=self.kernel.weight.device)
            outputs: Tensor = self.kernel(unit)
            return (outputs if self.bias is None else outputs - self.bias).T

    def forward(self, x: Tensor) -> Tensor:
        # the kernel takes whatever it is given for float16
        output: Tensor = _Multiply.apply(x.to(torch.float16), self)  # type: ignore[no-untyped-call]
        return output


class _Multiply(torch.autograd.Function):
    """y = x W^T + b forwards by the kernel, dL/dx = dL/dy W backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: EetqLinear) -> Tensor:
        ctx.layer = layer
        output: Tensor = layer.kernel(x.flatten(0, -2).contiguous()).unflatten(0, x.shape[:-1])
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.weight.to(gradient.dtype), None


def replace_linears(model: Any) -> Any:
    """Put our layer around each of transformers' EETQ layers, in place."""
    from transformers.integrations.eetq import EetqLinear as Kernel

    for name, layer in list(model.named_modules()):
        if isinstance(layer, Kernel):
            model.set_submodule(name, EetqLinear(layer))
    return model
