"""Weights and optimizer states that DeepSpeed's ZeRO has cut in pieces: how whole ones come together, and go back.

ZeRO-3 leaves an empty parameter in place of a weight; from stage 1 on the optimizer steps float32 copies of pieces of
weights laid end to end. Here they are what one process has: a weight, and a state beside it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
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
    with together([weight], changed=False):
        return weight.detach().clone()


@contextlib.contextmanager
def made_whole() -> Iterator[None]:
    """Have transformers make models of whole weights within this block, as without ZeRO-3, which cuts what it makes.

    For a model of which a part is taken. DeepSpeed cuts that when training begins, where it is not yet.
    """
    if "deepspeed" not in sys.modules:
        yield
        return
    from transformers.integrations import deepspeed as state

    said = state._hf_deepspeed_config_weak_ref
    held = said() if said is not None else None
    state.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if held is not None:
            state.set_hf_deepspeed_config(held)


# ---- the optimizer's states ------------------------------------------------------------------------------------------


def is_stepping(optimizer: Any) -> bool:
    """Whether a Trainer's optimizer is ZeRO's, around one that steps pieces of weights."""
    return hasattr(getattr(optimizer, "optimizer", None), "optimizer")


def gathered_states(optimizer: Any, groups: Sequence[Sequence[torch.Tensor]]) -> dict[str, Any]:
    """What `state_dict` of the optimizer of one process gives, on the CPU of the main process; {} on the others.

    Weights are gathered one at a time. All processes call it.

    Args:
        optimizer: a Trainer's, which `is_stepping`.
        groups: the trained weights in the order in which that one was given them.
    """
    stepping = optimizer.optimizer.optimizer
    names = _names(stepping)
    _link(stepping, groups)
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


def _link(stepping: Any, groups: Sequence[Sequence[torch.Tensor]]) -> None:
    """Tell weights that are cut for the optimizer alone of their states.

    DeepSpeed does so after the first step of the first group, when those of other groups have none.
    """
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    for group, weights in zip(stepping.param_groups, filter(None, groups), strict=True):
        below_3 = [weight for weight in weights if is_stepped(weight) and not is_cut(weight)]
        for piece in group["params"] if below_3 else ():
            lazy_init_hp_params_optimizer_state(below_3, piece, stepping.state)


class _Names:
    """What an optimizer keeps of a piece: tensors as large as that, and plain values."""

    def __init__(self, spread: list[str], plain: dict[str, Any]) -> None:
        self.spread, self.plain = spread, plain


def _names(stepping: Any) -> _Names:
    state: dict[str, Any] = next((state for state in stepping.state.values() if state), {})
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
    left = list(stepping.param_groups)
    options, made, first = left[0], [], 0
    for weights in groups:
        options = left.pop(0) if weights else options  # DeepSpeed leaves out groups without weights
        made.append({**options, "params": list(range(first, first + len(weights)))})
        first += len(weights)
    return made


def take_states(optimizer: Any, groups: Sequence[Sequence[torch.Tensor]], kept: Mapping[str, Any]) -> None:
    """Put the states of an optimizer of one process into ZeRO's, and its options. All processes call it.

    Args:
        optimizer, groups: as of `gathered_states`.
        kept: what that gave, or the `state_dict` of one process's optimizer.
    """
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    stepping, states = optimizer.optimizer.optimizer, kept[_STATE]
    formers = [former for former in kept[_GROUPS] if former["params"]]
    for group, former in zip(stepping.param_groups, formers, strict=True):
        group.update({name: value for name, value in former.items() if name != "params"})
    weights = [weight for group in groups for weight in group]
    first: dict[str, Any] = next(iter(states.values()), {})
    _make_room(optimizer.optimizer, first)
    _link(stepping, groups)
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


# ---- weights ---------------------------------------------------------------------------------------------------------


def take_copies(weights: Iterable[torch.Tensor]) -> None:
    """Have ZeRO's optimizer step from weights that were loaded into the model. All processes call it."""
    from deepspeed.utils import safe_set_full_fp32_param

    for weight in weights:
        if is_stepped(weight):
            with together([weight], changed=False):
                value = weight.detach().float().clone()
            safe_set_full_fp32_param(weight, value)


def load_weights(model: Any, folder: Path) -> None:
    """Load a checkpoint of a whole model, one weight at a time, also into what ZeRO's optimizer steps.

    All processes call it, and read it. What the files do not have, such as the second name of a tied weight, stays.

    Args:
        folder: with safetensors files whose names are those of `model.state_dict()`.
    """
    from deepspeed.utils import safe_set_full_fp32_param

    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file, torch.no_grad():
            for name in file.keys():  # noqa: SIM118 (no mapping)
                value = file.get_tensor(name)
                with together([tensors[name]]):
                    tensors[name].copy_(value)
                if is_stepped(tensors[name]):
                    safe_set_full_fp32_param(tensors[name], value)


@contextlib.contextmanager
def together(weights: Iterable[torch.Tensor], changed: bool = True) -> Iterator[None]:
    """Have weights that ZeRO-3 has cut whole for the time of the block, on each process. All processes enter it.

    Args:
        changed: keep what the main process makes of them.
    """
    cut = [weight for weight in weights if is_cut(weight)]
    if not cut:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(cut, modifier_rank=0 if changed else None):
        yield


@contextlib.contextmanager
def loading_by(load: Callable[[str], None]) -> Iterator[None]:
    """Have transformers' Trainer leave the checkpoints of a model that DeepSpeed trains to `load`, given their folder.

    It would look for DeepSpeed's own, which are pickled, and of one number of processes.
    """
    module: Any = importlib.import_module("transformers.trainer")
    own = module.deepspeed_load_checkpoint
    module.deepspeed_load_checkpoint = lambda engine, folder, **_: load(folder)
    try:
        yield
    finally:
        module.deepspeed_load_checkpoint = own
