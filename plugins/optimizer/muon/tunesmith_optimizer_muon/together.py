"""Two optimizers as one, and which weights belong to which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from tunesmith_library_weights.experts import fused_experts


def divide(model: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The trainable weights: of hidden linear layers and fused experts, and all others."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    layers = (layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not head)
    inside = {id(layer.weight) for layer in layers}
    inside |= {id(item.value) for item in fused_experts(model) if not item.packed}
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    hidden = [weight for weight in trainable if id(weight) in inside and weight.ndim > 1]
    chosen = {id(weight) for weight in hidden}
    return hidden, [weight for weight in trainable if id(weight) not in chosen]


class Together(torch.optim.Optimizer):
    """Several optimizers of different weights, with one list of groups, one state and one `state_dict`."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share()

    def _share(self) -> None:
        """Let the parts work on this optimizer's groups and state."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)  # makes new groups and a new state
        self._share()
