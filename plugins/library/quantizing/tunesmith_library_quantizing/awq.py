"""AWQ over a whole model: in each decoder layer first all scales, then all roundings."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from tunesmith import announce
from tunesmith.types import Batch

from tunesmith_library_quantizing.calibration import Block
from tunesmith_library_quantizing.folding import Finder, Place, divided
from tunesmith_library_quantizing.grid import Rounded, round_to_nearest
from tunesmith_library_quantizing.quantising import Quantised, Settings, gptq_config, kept, quantise
from tunesmith_library_quantizing.search import find_scale, round_clipped


def quantise_by_awq(model: Any, batches: Iterable[Batch], settings: Settings, *, clip: bool) -> Quantised:
    """Scale what can be scaled, and round; 4 bits are stored in AWQ's layout, for which others have no place."""
    left = kept(model, settings.skip)
    if settings.bits != 4:
        announce("stored", "in the layout of GPTQ", f"AWQ's has no {settings.bits} bits")
    config = awq_config(settings, left) if settings.bits == 4 else gptq_config(settings, left)
    stored: dict[str, torch.Tensor] = {}
    method = functools.partial(round_block, settings=settings, clip=clip, stored=stored)
    return quantise(model, batches, settings, method, config, stored)


def awq_config(settings: Settings, left: list[str]) -> dict[str, Any]:
    """The `quantization_config` of a model in AWQ's gemm layout.

    Args:
        left: names of the layers that are not quantised.
    """
    return {
        "quant_method": "awq",
        "version": "gemm",
        "bits": settings.bits,
        "group_size": settings.group_size,
        "zero_point": True,
        "modules_to_not_convert": left or None,
    }


def round_block(
    block: Block, settings: Settings, clip: bool, stored: dict[str, torch.Tensor]
) -> Iterator[tuple[str, Rounded]]:
    """Scale and round the chosen layers of one decoder layer.

    In memory the scales stay with the layers, so that adapters see the inputs and outputs that the model always had.

    Args:
        stored: takes the weights that differ where the model is stored, by their names in the model.
    """
    groups = block.groups()
    statistics = block.statistics(groups)
    weights = {name: layer.weight.float() for linears in groups for name, layer in linears.items()}
    inputs, outputs = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    finder = Finder(block)
    for linears, seen in zip(groups, statistics, strict=True):
        seen.hessian, seen.magnitude = seen.hessian / seen.tokens, seen.magnitude / seen.tokens
        place = finder.find(linears)
        if place is None:
            continue
        size = settings.group_of(next(iter(linears.values())))
        scale = find_scale([weights[name] for name in linears], seen.hessian, seen.magnitude, settings.bits, size)
        seen.hessian = seen.hessian / scale / scale[:, None]
        for name in linears:
            weights[name], inputs[name] = weights[name] * scale, scale
        if place.name in weights:  # a linear layer that is rounded too
            weights[place.name], outputs[place.name] = weights[place.name] / scale[:, None], scale
        else:
            stored |= _divided(block, place, scale)
    for linears, seen in zip(groups, statistics, strict=True):
        for name, layer in linears.items():
            size = settings.group_of(layer)
            if clip:
                found = round_clipped(weights[name], seen.hessian, settings.bits, size)
            else:
                found = round_to_nearest(weights[name], settings.bits, size, settings.sym)
            yield name, replace(found, input_scale=inputs.get(name), output_scale=outputs.get(name))


def _divided(block: Block, place: Place, scale: torch.Tensor) -> dict[str, torch.Tensor]:
    module = block.module.get_submodule(place.name.removeprefix(f"{block.name}."))
    return {f"{place.name}.{name}": tensor for name, tensor in divided(module, place.offset, scale).items()}
