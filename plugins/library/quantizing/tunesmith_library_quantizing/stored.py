"""Linear layers whose weights are stored in some other form, and made anew for every product.

For quantizers that look at a weight alone: two functions say how it is stored, and what it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from tunesmith_library_weights.patterns import matches_any

Encode = Callable[[Tensor], Mapping[str, Tensor]]
"""A weight (out, in) in, the tensors that it is stored as out, by names that no attribute of a module has."""

Decode = Callable[[dict[str, Tensor]], Tensor]
"""These tensors in, the weight (out, in) in floating point out."""


class StoredLinear(nn.Linear):
    """A frozen linear layer that keeps what `encode` made of its weight; its gradient goes to the input.

    `weight` (out, in) is computed when it is asked for, in the numbers that it had, and cannot be set.
    """

    _decode: Decode

    def __init__(self, linear: nn.Linear, encode: Encode, decode: Decode) -> None:
        super(nn.Linear, self).__init__()  # nn.Linear's own would make a weight
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.dtype, self._decode = linear.weight.dtype, decode
        stored = encode(linear.weight.detach())
        self._names = tuple(stored)
        for name, tensor in stored.items():
            self.register_buffer(name, tensor)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, and never set
        """The weight (out, in)."""
        return self._decode({name: getattr(self, name) for name in self._names}).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        # The backward pass computes the weight again instead of keeping it.
        y: Tensor = checkpoint(self._product, x, use_reentrant=False, preserve_rng_state=False)
        return y

    def _product(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


@torch.no_grad()
def store_linears(model: Any, encode: Encode, decode: Decode, skip: Collection[str] = ()) -> Any:
    """Replace a model's linear layers but the output head by stored ones, in place, one after the other.

    Args:
        skip: patterns of layers that stay as they are, as `tunesmith_library_weights.matches` reads them.

    Returns: the model.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    linear = [(name, layer) for name, layer in model.named_modules() if type(layer) is nn.Linear and layer is not head]
    for name, layer in linear:
        if not matches_any(name, list(skip)):
            model.set_submodule(name, StoredLinear(layer, encode, decode))
    return model
