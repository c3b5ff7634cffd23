"""Weights and optimizer states that DeepSpeed's ZeRO has cut in pieces: how whole ones come together, and go back.

ZeRO-3 leaves an empty parameter in place of a weight; from stage 1 on the optimizer steps float32 copies of pieces of
weights laid end to end. Here they are what one process has: a weight, and a state beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tunesmith_library_weights.cut import is_cut

from tunesmith_library_training import processes

_STATE, _GROUPS, _MASTERS = "state", "param_groups", "masters"


def is_stepped(weight: Any) -> bool:
    """Whether ZeRO's optimizer steps a float32 copy of a weight."""
    return hasattr(weight, "_z3_optimizer" if is_cut(weight) else "_hp_mapping") and weight.requires_grad


def whole(weight: torch.Tensor) -> torch.Tensor:
    """A whole weight: of one that is trained the float32 copy that is stepped. All processes call it.

    One that ZeRO has not cut is given as it is.
    """
    if is_stepped(weight):
        from deepspeed.utils import safe_get_full_fp32_param

        found: torch.Tensor = safe_get_full_fp32_param(weight)
        return found
    if not is_cut(weight):
        return weight
    from deepspeed.zero import GatheredParameters

    with GatheredParameters([weight]):
        return weight.detach().clone()


# ---- the optimizer's states ------------------------------------------------------------------------------------------


def gathered_states(optimizer: Any, groups: Sequence[Sequence[torch.Tensor]]) -> dict[str, Any]:
    """What `state_dict` of the optimizer of one process gives, on the CPU of the main process; {} on the others.

    Weights are gathered one at a time. All processes call it.

    Args:
        optimizer: ZeRO's, around the one that steps.
        groups: the trained weights in the order in which that one was given them.
    """
    stepping = optimizer.optimizer
    names = _names(stepping)
    weights = [weight for group in groups for weight in group]
    states: dict[int, dict[str, Any]] = {}
    masters: dict[int, torch.Tensor] = {}
    for number, weight in enumerate(weights):
        found = {name: _kept(_state(weight, name)) for name in names.spread}
        master = _kept(whole(weight)) if weight.dtype != torch.float32 else None
        if processes.is_main():
            states[number] = {**names.plain, **found}
            if master is not None:
                masters[number] = master
    if not processes.is_main():
        return {}
    return {_STATE: states if names.spread else {}, _GROUPS: _numbered(stepping, groups), _MASTERS: masters}


class _Names:
    """What an optimizer keeps of a piece: tensors as large as that, and plain values."""

    def __init__(self, spread: list[str], plain: dict[str, Any]) -> None:
        self.spread, self.plain = spread, plain


def _names(stepping: Any) -> _Names:
    state = next((state for state in stepping.state.values() if state), {})
    spread = [name for name, value in state.items() if isinstance(value, torch.Tensor) and value.ndim]
    plain = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
    return _Names(spread, {name: value for name, value in plain.items() if name not in spread})


def _state(weight: torch.Tensor, name: str) -> torch.Tensor:
    from deepspeed.utils import safe_get_full_optimizer_state

    found: torch.Tensor = safe_get_full_optimizer_state(weight, name)
    return found


def _kept(tensor: torch.Tensor) -> torch.Tensor | None:
    return tensor.detach().to("cpu", copy=True) if processes.is_main() else None


def _numbered(stepping: Any, groups: Sequence[Sequence[torch.Tensor]]) -> list[dict[str, Any]]:
    """The optimizer's groups, with the numbers of their weights."""
    made, first = [], 0
    for group, weights in zip(stepping.param_groups, groups, strict=True):
        made.append({**group, "params": list(range(first, first + len(weights)))})
        first += len(weights)
    return made


def take_states(optimizer: Any, groups: Sequence[Sequence[torch.Tensor]], kept: Mapping[str, Any]) -> None:
    """Put the states of an optimizer of one process into ZeRO's, and its options. All processes call it.

    Args:
        optimizer, groups: as of `gathered_states`.
        kept: what that gave, or the `state_dict` of one process's optimizer.
    """
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    stepping, states = optimizer.optimizer, kept[_STATE]
    for group, former in zip(stepping.param_groups, kept[_GROUPS], strict=True):
        group.update({name: value for name, value in former.items() if name != "params"})
    weights = [weight for group in groups for weight in group]
    first = next(iter(states.values()), {})
    _make_room(optimizer, first)
    for number, weight in enumerate(weights):
        for name, value in states.get(number, {}).items():
            if isinstance(value, torch.Tensor) and value.ndim:
                safe_set_full_optimizer_state(weight, value, name)
        master = kept.get(_MASTERS, {}).get(number)
        if master is not None:
            safe_set_full_fp32_param(weight, master)


def _make_room(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Let the optimizer that steps have a state of each piece, as its first step would make them."""
    stepping = optimizer.optimizer
    pieces = getattr(optimizer, "fp32_partitioned_groups_flat", None)  # of stage 3, which shows them in turn
    if pieces is None:
        pieces = [piece for group in stepping.param_groups for piece in group["params"]]
    for piece in pieces:
        for name, value in state.items():
            spread = isinstance(value, torch.Tensor) and value.ndim
            like = torch.zeros_like(piece) if spread else value
            stepping.state[piece][name] = like.clone() if isinstance(like, torch.Tensor) else like
    link = getattr(optimizer, "_lazy_init_hp_params_optimizer_state", None)
    if link is not None:  # below stage 3 a weight learns of its state after the first step; nothing public does it
        link()


# ---- weights ---------------------------------------------------------------------------------------------------------


def take_copies(weights: Iterable[torch.Tensor]) -> None:
    """Have ZeRO's optimizer step from weights that were loaded into the model. All processes call it."""
    from deepspeed.utils import safe_set_full_fp32_param
    from deepspeed.zero import GatheredParameters

    for weight in weights:
        if not is_stepped(weight):
            continue
        with GatheredParameters([weight], enabled=is_cut(weight)):
            value = weight.detach().float().clone()
        safe_set_full_fp32_param(weight, value)
