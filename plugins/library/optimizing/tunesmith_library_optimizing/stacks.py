"""Weights that are many matrices in one tensor, as those of fused experts: each is a matrix to an optimizer of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn
from tunesmith import announce
from tunesmith_library_weights.experts import fused_experts
from tunesmith_library_weights.shares import share

Matrices = Callable[[Tensor], Tensor]
"""A weight, or its gradient, in; a view (N, out, in) of its N matrices out."""


def stacked(model: nn.Module) -> dict[int, Matrices]:
    """How to see the matrices of each stacked weight, by the identity of the weight.

    They are the parameters of fused experts, and what adapters of low rank put beside them: peft keeps the matrices A
    of E experts as one (E · rank, in), expert by expert, and B as (out, rank · E), in which experts alternate.
    """
    found: dict[int, Matrices] = {}
    for item in fused_experts(model):
        if not item.packed:
            found[id(getattr(item.owner, item.parameter))] = _transposed if item.transposed else _as_it_is
    for module in model.modules():
        count = getattr(module, "num_experts", 1)
        beside: Any = (getattr(module, "lora_A", None), getattr(module, "lora_B", None))
        if isinstance(beside[0], nn.ModuleDict) and isinstance(beside[1], nn.ModuleDict) and count > 1:
            found |= {id(layer.weight): _first(count) for layer in beside[0].values()}
            found |= {id(layer.weight): _last(count) for layer in beside[1].values()}
    return found


def say_updates(name: str, model: nn.Module, chosen: Collection[int], how: str, rest: str = "by AdamW") -> None:
    """Announce what share of the trained weights an optimizer updates in its own way, and which it leaves to AdamW.

    Args:
        name: of the optimizer's plugin.
        chosen: identities of its own weights.
        how: what it does with them: `14 matrices made orthogonal`.
        rest: what becomes of the others.
    """
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    counts = {name: weight.numel() for name, weight in trained.items()}
    own = {name for name, weight in trained.items() if id(weight) in chosen}
    reached, others = share(counts, own, "the trained weights", rest)
    announce(name, f"{reached}, {how}", others)


MESSAGES = ("{optimizer}: {share} of the trained weights, {how} ({others})",)
"""What is announced of an optimizer."""


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.mT


def _first(count: int) -> Matrices:
    return lambda tensor: tensor.unflatten(0, (count, -1))


def _last(count: int) -> Matrices:
    return lambda tensor: tensor.unflatten(1, (-1, count)).permute(2, 0, 1)
