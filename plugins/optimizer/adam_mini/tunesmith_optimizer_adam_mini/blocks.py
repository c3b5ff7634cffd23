"""How a transformer's weights are divided into blocks (arXiv 2406.16793)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from tunesmith_library_optimizing.stacks import Matrices

_PER_HEAD = ("q_proj", "k_proj", "wq", "wk", "query", "key")  # what models call the projections of queries and keys


def head_dim_of(model: Any) -> int | None:
    """The width of an attention head, None when the configuration does not say it."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    head_dim = getattr(config, "head_dim", None)
    heads, hidden_size = (getattr(config, name, None) for name in ("num_attention_heads", "hidden_size"))
    return head_dim or (hidden_size // heads if heads and hidden_size else None)


def block_size(name: str, weight: Tensor, head_dim: int | None) -> int:
    """How many consecutive numbers of a weight, row by row, share one second moment."""
    module, _, kind = name.rpartition(".")
    if kind.endswith("bias"):
        return 1
    if weight.ndim < 2:
        return weight.numel()
    if module.rpartition(".")[2] in _PER_HEAD and head_dim and weight.shape[0] % head_dim == 0:
        return head_dim * weight.shape[1]
    return weight.shape[-1]


def weight_groups(
    model: nn.Module, head_dim: int | None, weight_decay: float, views: Mapping[int, Matrices]
) -> list[dict[str, Any]]:
    """One parameter group per block size and weight decay; vectors have no decay.

    Args:
        views: of weights that are stacks of matrices, by their identity; a block is a row of one of these.
    """
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            matrices = views.get(id(weight))
            size = block_size(name, weight, head_dim) if matrices is None else matrices(weight).shape[-1]
            groups.setdefault((size, weight.ndim > 1), []).append(weight)
    return [
        {"params": weights, "block_size": size, "weight_decay": weight_decay if decayed else 0.0}
        for (size, decayed), weights in groups.items()
    ]
