"""States of optimizers, schedules and random numbers as safetensors: tensors, and how they were nested as JSON.

Nothing in such a file is run when it is read. What earlier versions wrote with pickle is read by torch's restricted
loader.
"""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tunesmith import TunesmithError

from tunesmith_library_training import processes

_KEY = "nested"  # of the file's metadata
_PLAIN = (str, int, float, bool, type(None))


def write(path: Path, state: Any) -> None:
    """Write dicts, lists, tuples, numbers, texts, arrays and tensors, also of classes made of several tensors.

    Raises: TunesmithError when something else is in it, with its place.
    """
    tensors: dict[str, torch.Tensor] = {}
    nested = _packed(state, tensors, "state")
    save_file(tensors, path, metadata={_KEY: json.dumps(nested)})


def read(path: Path) -> Any:
    """What `write` was given; tensors on the CPU.

    Raises: TunesmithError when the file holds a class of tensors that was not imported.
    """
    with safe_open(path, "pt") as file:
        nested = json.loads((file.metadata() or {})[_KEY])
        return _unpacked(nested, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)


def _packed(value: Any, tensors: dict[str, torch.Tensor], place: str) -> Any:
    """A value as JSON, in which a mapping with one key says what is none of JSON's kinds."""
    if isinstance(value, torch.Tensor):
        return _packed_tensor(value, tensors, place)
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {
            "dict": [
                [_packed(key, tensors, place), _packed(item, tensors, f"{place}.{key}")] for key, item in value.items()
            ]
        }
    if isinstance(value, tuple | list):
        items = [_packed(item, tensors, f"{place}.{number}") for number, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.dtype):
        return {"torch.dtype": str(value).removeprefix("torch.")}
    if isinstance(value, enum.Enum):
        return _packed(value.value, tensors, place)
    raise TunesmithError(f"{place} is a {type(value).__name__}, which a checkpoint cannot hold without running code.")


def _packed_tensor(value: torch.Tensor, tensors: dict[str, torch.Tensor], place: str) -> Any:
    if hasattr(value, "__tensor_flatten__"):
        names, context = value.__tensor_flatten__()
        parts = [[name, _packed(getattr(value, name), tensors, f"{place}.{name}")] for name in names]
        shape = {"size": list(value.shape), "stride": list(value.stride())}
        label = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class": label, "parts": parts, "context": _packed(context, tensors, f"{place}.context"), **shape}
    name = str(len(tensors))
    tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # a copy: several may share their memory
    return {"tensor": name}


def _unpacked(nested: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(nested, list):
        return [_unpacked(item, tensors) for item in nested]
    if not isinstance(nested, dict):
        return nested
    if "tensor" in nested:
        return tensors[nested["tensor"]]
    if "dict" in nested:
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in nested["dict"]}
    if "tuple" in nested:
        return tuple(_unpacked(item, tensors) for item in nested["tuple"])
    if "array" in nested:
        return np.array(nested["array"], dtype=nested["dtype"])
    if "torch.dtype" in nested:
        return getattr(torch, nested["torch.dtype"])
    parts = {name: _unpacked(part, tensors) for name, part in nested["parts"]}
    context = _unpacked(nested["context"], tensors)
    return _class_of(nested["class"]).__tensor_unflatten__(
        parts, context, tuple(nested["size"]), tuple(nested["stride"])
    )


def _class_of(label: str) -> Any:
    """A class of tensors that its library declared safe to load; nothing is imported for it."""
    for known in torch.serialization.get_safe_globals():
        found = known[0] if isinstance(known, tuple) else known
        if isinstance(found, type) and label == f"{found.__module__}.{found.__qualname__}":
            return found
    raise TunesmithError(
        f"the checkpoint holds a {label}, which nothing that was imported has.\n  resume with the run's optimizer"
    )


# ---- random numbers --------------------------------------------------------------------------------------------------


def random_state() -> dict[str, Any]:
    """The states of all generators of this process."""
    found = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    if torch.accelerator.is_available():
        module = torch.get_device_module(torch.accelerator.current_accelerator())
        found["accelerator"] = module.get_rng_state()
    return found


def random_state_of_share(seed: int, step: int) -> dict[str, Any]:
    """The states that this process begins with after a step: each share draws others (dropout), the processes of one
    share the same."""
    number = ((seed * 1_000_003 + step) * processes.shares() + processes.share()) % 2**32
    numpy = np.random.RandomState(number)
    cpu = torch.Generator().manual_seed(number)
    found = {"python": random.Random(number).getstate(), "numpy": numpy.get_state(), "cpu": cpu.get_state()}
    if torch.accelerator.is_available():
        device = torch.accelerator.current_accelerator()
        found["accelerator"] = torch.Generator(device).manual_seed(number).get_state()
    return found


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on with the random numbers of `random_state`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    if "accelerator" in state and torch.accelerator.is_available():
        torch.get_device_module(torch.accelerator.current_accelerator()).set_rng_state(state["accelerator"])
