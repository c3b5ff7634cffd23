"""Weights that are spread over the processes of a run: how a whole one comes together, and how each gets its part.

FSDP2 keeps a spread weight as a `DTensor`, ZeRO-3 as an empty parameter whose parts DeepSpeed knows (`zero`). Nothing
here holds more than one whole weight at a time on a process that does not ask for them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from tunesmith_library_training import processes, zero

_ATTRIBUTE = "_tunesmith_spread"


@dataclass(frozen=True)
class Spread:
    """How a model's weights are spread over the processes of a run."""

    by: str  # fsdp, deepspeed
    again: Callable[[Any], None]  # spreads another model alike, in place: a reference
    # of the weights and the optimizer: gathered to the files of a run of one process, or each process its part
    checkpoints: Literal["whole", "sharded"] = "whole"
    background: bool = False  # checkpoints are written while training goes on


def mark(model: Any, spread: Spread) -> None:
    """Note how a model was spread, and let it load whole weights: each process takes its part of them."""
    vars(model)[_ATTRIBUTE] = spread
    model.register_load_state_dict_pre_hook(_take_parts)


def spread_of(model: Any) -> Spread | None:
    """How a model is spread; None for one that each process has whole.

    Args:
        model: as the hook `place` gave it, or within DeepSpeed's engine.
    """
    while "module" in getattr(model, "_modules", ()):
        model = model.module
    found: Spread | None = getattr(model, "__dict__", {}).get(_ATTRIBUTE)
    return found


def spread_by(model: Any) -> str:
    """What spreads a model: fsdp, deepspeed; empty for one that each process has whole."""
    spread = spread_of(model)
    return spread.by if spread else ""


def _take_parts(model: Any, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    """Before weights are loaded: replace whole ones by this process's parts. `state` is the one that is loaded."""
    own = dict(model.named_parameters(remove_duplicate=False))
    for name, value in state.items():
        like = own.get(name.removeprefix(prefix))
        if like is not None:
            state[name] = part_of(value, like)


# ---- one tensor ------------------------------------------------------------------------------------------------------


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor, on the device where it is; one that is not spread as it is. All processes call it."""
    if not isinstance(tensor, DTensor):
        return zero.whole(tensor)
    kind = tensor.device_mesh.device_type
    # what is kept on the host is sent by the way of the device, whose collectives are the mesh's
    sent: Any = tensor.detach().to(kind)
    found: torch.Tensor = sent.full_tensor().to(tensor.device)
    return found


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole tensor that all have, without communication.

    Args:
        like: spread as the result is to be; for one that is not spread, `value` itself is given.
    """
    if not isinstance(like, DTensor) or isinstance(value, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


# ---- many ------------------------------------------------------------------------------------------------------------


def gathered(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whole tensors on the CPU of the main process, gathered one at a time; {} on the others. All processes call it.

    One that has several names is one in the result, too.
    """
    found: dict[str, torch.Tensor] = {}
    first: dict[int, str] = {}  # name by tensor
    for name, tensor in tensors.items():
        known = first.setdefault(id(tensor), name)
        if known != name:
            found |= {name: found[known]} if known in found else {}
            continue
        together = whole(tensor)
        if processes.is_main():
            found[name] = together.detach().to("cpu", copy=together is tensor)
        del together
    return found


def gathered_nested(value: Any) -> Any:
    """A state of dicts, lists and tensors as `gathered`, on the main process; what it is on others means nothing.

    Nothing in it is changed by the next step.
    """
    if isinstance(value, torch.Tensor):
        together = whole(value)
        return together.detach().to("cpu", copy=together is value) if processes.is_main() else None
    if isinstance(value, Mapping):
        return {key: gathered_nested(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(gathered_nested(item) for item in value)
    return value


def saved_weights(model: Any) -> dict[str, torch.Tensor]:
    """What is saved of a model, as this process has it: an adapter's weights, or all.

    Args:
        model: as the hook `place` gave it; of an adapter of peft, the outermost.

    Returns: under the names of `model.state_dict()`; tied weights are one tensor.
    """
    state: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    if not hasattr(model, "peft_config"):
        return state
    from peft import get_peft_model_state_dict

    saved = {id(tensor) for tensor in get_peft_model_state_dict(model, state_dict=dict(state)).values()}
    return {name: tensor for name, tensor in state.items() if id(tensor) in saved}


def gathered_weights(model: Any) -> dict[str, torch.Tensor]:
    """`saved_weights`, whole, on the CPU of the main process; {} on the others. All processes call it."""
    return gathered(saved_weights(model))


# ---- the state of an optimizer, as its `state_dict` gives it ---------------------------------------------------------

State = dict[str, Any]


def take_parts(state: State, weights: Sequence[torch.Tensor]) -> State:
    """A whole state, which each process has, as this process's parts of what is as large as its weight.

    Args:
        weights: of all groups, in their order.
    """

    def part(value: Any, number: int, _: str) -> Any:
        return part_of(value, weights[number]) if isinstance(value, torch.Tensor) else value

    return _changed(state, part)


def with_parts_apart(state: State) -> tuple[State, dict[str, torch.Tensor]]:
    """A state in which a dtype stands for each tensor that is spread, and these tensors, by name.

    What is left in it is not changed by the next step.
    """
    parts: dict[str, torch.Tensor] = {}

    def apart(value: Any, number: int, key: str) -> Any:
        if isinstance(value, DTensor):
            parts[f"{number}.{key}"] = value
            return value.dtype
        return value.detach().clone() if isinstance(value, torch.Tensor) else value

    return _changed(state, apart), parts


def with_parts_empty(state: State, weights: Sequence[torch.Tensor]) -> tuple[State, dict[str, torch.Tensor]]:
    """What `with_parts_apart` gave, with an empty tensor like its weight for each dtype, and these tensors, by name."""
    parts: dict[str, torch.Tensor] = {}

    def empty(value: Any, number: int, key: str) -> Any:
        if isinstance(value, torch.dtype):
            parts[f"{number}.{key}"] = value = torch.empty_like(weights[number].detach(), dtype=value)
        return value

    return _changed(state, empty), parts


def _changed(state: State, change: Callable[[Any, int, str], Any]) -> State:
    of = {
        number: {key: change(value, number, key) for key, value in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": of}
