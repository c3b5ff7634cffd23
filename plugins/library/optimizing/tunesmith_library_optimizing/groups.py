"""Parameter groups: which weights of a model are decayed, and which are projected to a low rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from tunesmith.types import OptimizerSettings
from tunesmith_library_weights.experts import fused_experts
from tunesmith_library_weights.patterns import matches_any, refuse_unknown

from tunesmith_library_optimizing.stacks import say_updates


def adam_defaults(settings: OptimizerSettings) -> dict[str, Any]:
    """The trainer's settings under the names of torch's Adam."""
    return {
        "lr": settings.learning_rate,
        "betas": (settings.adam_beta1, settings.adam_beta2),
        "eps": settings.adam_epsilon,
        "weight_decay": settings.weight_decay,
    }


def by_decay(weights: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and vectors apart, as far as there are any: vectors have no weight decay."""
    weights = list(weights)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def low_rank_optimizer(
    make: Callable[..., Any],
    name: str,
    model: nn.Module,
    settings: OptimizerSettings,
    *,
    target_modules: Sequence[str] | str,
    layerwise: bool,
    **projection: Any,
) -> Any:
    """An optimizer that projects the gradients of large matrices, and is AdamW for the other weights.

    Args:
        make: the optimizer's class, called with groups and Adam's settings.
        name: of the plugin, to be announced.
        layerwise: update each weight inside the backward pass.
        projection: what the group of the projected matrices carries; `rank` is among it.

    Raises: TunesmithError when a pattern fits no layer.
    """
    rank = projection["rank"]
    groups, projected = weight_groups(model, settings, target_modules, rank, projection)
    optimizer = make(groups, adam_defaults(settings))
    if layerwise:
        optimizer.update_in_backward()
    own = {id(weight) for group in groups if "rank" in group for weight in group["params"]}
    say_updates(name, model, own, f"{projected} matrices projected to rank {rank}")
    return optimizer


def weight_groups(
    model: nn.Module,
    settings: OptimizerSettings,
    target_modules: Sequence[str] | str,
    rank: int,
    projection: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], int]:
    """Divide the trainable weights: projected matrices, other matrices, and vectors without weight decay.

    Args:
        target_modules: patterns of layers, or `all`: the linear layers but the output head, and fused experts.
        rank: matrices whose smaller side is no larger are not projected.
        projection: what the groups of the projected matrices carry beside Adam's settings; of experts that are held
            as (experts, in, out) also `transposed`.

    Returns: the groups that are not empty, and the number of projected matrices, of which experts have one each.

    Raises: TunesmithError when a pattern fits no layer.
    """
    targets = {id(weight) for weight in _target_weights(model, target_modules)}
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    projected = [weight for weight in trainable if id(weight) in targets and min(weight.shape[-2:]) > rank]
    chosen = {id(weight) for weight in projected}
    others = [weight for weight in trainable if id(weight) not in chosen]
    turned = {id(item.value) for item in fused_experts(model) if item.transposed and not item.packed}
    groups = [
        {"params": [weight for weight in projected if id(weight) not in turned], **projection},
        {"params": [weight for weight in projected if id(weight) in turned], "transposed": True, **projection},
        *by_decay(others, settings.weight_decay),
    ]
    count = sum(weight.shape[:-2].numel() for weight in projected)
    return [group for group in groups if group["params"]], count


def _target_weights(model: Any, target_modules: Sequence[str] | str) -> list[Tensor]:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    weights = {name: layer.weight for name, layer in linear.items()}
    weights |= {item.name: item.value for item in fused_experts(model) if not item.packed}
    if target_modules == "all":
        return [weight for name, weight in weights.items() if linear.get(name) is not head or head is None]
    patterns = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    refuse_unknown("optimizer.target_modules", patterns, list(weights), "linear layer")
    return [weight for name, weight in weights.items() if matches_any(name, patterns)]
