"""bitsandbytes' AdamW8bit, told per parameter group how many bits the moments have."""

from __future__ import annotations

from typing import Any

from bitsandbytes.optim.adamw import AdamW8bit
from torch import nn
from tunesmith_library_optimizing.groups import by_decay


class PerGroupAdamW8bit(AdamW8bit):
    """AdamW8bit whose groups may carry `optim_bits`.

    bitsandbytes keeps such exceptions in a registry of the process, by the position of a weight in its group; those of
    one optimizer then hold for the next one, too.
    """

    def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        config = super().get_config(gindex, pindex, group)  # type: ignore[no-untyped-call]
        return {**config, "optim_bits": group.get("optim_bits", config["optim_bits"])}


def weight_groups(model: nn.Module, weight_decay: float, embeddings_in_32_bit: bool) -> list[dict[str, Any]]:
    """The trainable weights: embeddings, matrices, and vectors, which have no weight decay."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Embedding)]
    tables = {id(layer.weight) for layer in layers} if embeddings_in_32_bit else set()
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    others = [weight for weight in trainable if id(weight) not in tables]
    held = [weight for weight in trainable if id(weight) in tables]
    exact = [{"params": held, "weight_decay": weight_decay, "optim_bits": 32}] if held else []
    return [*exact, *by_decay(others, weight_decay)]
