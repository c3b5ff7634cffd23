"""A linear layer with rounded weights: W ≈ codes * scales, with one scale per group of a row."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from tunesmith import TunesmithError


class AbsmaxLinear(nn.Linear):
    """A frozen linear layer that keeps int8 codes (out, in / group, group) and float scales (out, in / group, 1)."""

    codes: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear, bits: int, group_size: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        groups = linear.weight.detach().unflatten(1, (-1, group_size))
        scales = groups.abs().amax(-1, keepdim=True).clamp_min(1e-8) / (2 ** (bits - 1) - 1)
        self.register_buffer("codes", (groups / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, and never set
        """The weight (out, in), computed anew at each use."""
        return (self.codes * self.scales).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        # Backward computes the weight again instead of keeping it: that is what makes training small.
        output: Tensor = checkpoint(super().forward, x, use_reentrant=False, preserve_rng_state=False)
        return output


def replace_linears(model: Any, bits: int, group_size: int) -> Any:
    """Replace every linear layer but the output head, in place."""
    head = model.get_output_embeddings()
    linears = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear and layer is not head}
    for name, linear in linears.items():
        if linear.in_features % group_size:
            raise TunesmithError(
                f"quantizer.group_size={group_size} does not divide the width {linear.in_features} of {name}.\n"
                f"possible: its divisors, such as quantizer.group_size={linear.in_features & -linear.in_features}"
            )
        model.set_submodule(name, AbsmaxLinear(linear, bits, group_size))
    return model
