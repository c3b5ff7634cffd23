"""The routers of a model: read from where a run saved them, or fresh for one that is to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelSource

from .layers import ROUTER, Router, route

if TYPE_CHECKING:
    from . import MixtureOfDepths


def change(model: Any, options: MixtureOfDepths, source: ModelSource) -> None:
    """Route a model's layers, in place; adapters train the routers, whatever else they leave frozen."""
    saved = read_routers(source.path)
    if not saved and not source.training:
        announce("mixture of depths", "none", f"{source.address} has no routers, and nothing is trained")
        return
    names = route(model, options.every, options.capacity, options.decide == "predictor")
    routers = [name for name, module in model.named_modules() if isinstance(module, Router)]
    model.fresh_modules = [*getattr(model, "fresh_modules", ()), *routers]
    where = f"from {source.path}, whose keys transformers calls unexpected" if saved else "fresh"
    announce("mixture of depths", f"{len(routers)} layers of {options.capacity:.1%} of the tokens", f"routers: {where}")
    if saved:
        _set_routers(model, names, saved, source.path)


def read_routers(folder: Path) -> dict[str, torch.Tensor]:
    """The routers' weights in a folder's safetensors, by their names from the layer's number on."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                if f".{ROUTER}." in name:
                    found[_short(name)] = weights.get_tensor(name)
    return found


def _set_routers(model: Any, names: list[str], saved: Mapping[str, torch.Tensor], folder: Path) -> None:
    missing, left = {_short(name) for name in names} ^ saved.keys(), sorted(saved)
    if missing:
        raise TunesmithError(
            f"patch.mixture_of_depths: {folder} has the routers {', '.join(left)}, which other options made.\n"
            "  every and decide must be what they were when they were trained: the run's run.yaml says"
        )
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).copy_(saved[_short(name)])


def _short(name: str) -> str:
    """`1.depth_router.weight` of `model.layers.1.depth_router.weight`, whatever a model is called within another."""
    layer, _, weight = name.partition(f".{ROUTER}.")
    return f"{layer.rpartition('.')[2]}.{ROUTER}.{weight}"
