"""Weights in the numbers of each scheme, with the scales that go into files. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from tunesmith import TunesmithError
from tunesmith_library_quantizing.calibration import Statistics
from tunesmith_library_quantizing.quantising import Settings
from tunesmith_library_quantizing.solver import solve

_LARGEST = 448.0  # of the 8-bit float with 4 bits of exponent
_SMALLEST = 2.0**-24


@dataclass(frozen=True)
class Parts:
    """A weight before it is compressed."""

    weight: torch.Tensor  # (out, in), float32: values that the numbers of the scheme have, or that are rounded to them
    scales: Mapping[str, torch.Tensor]  # by their names in files, but for their numbers


def to_fp8(weight: torch.Tensor, whole: bool) -> Parts:
    """Scales with which the largest weight of each row, or of all, is the largest number.

    Args:
        weight: (out, in).
        whole: one scale for all rows.
    """
    largest = weight.float().abs().amax().reshape(1) if whole else weight.float().abs().amax(1, keepdim=True)
    scale = (largest / _LARGEST).clamp(min=_SMALLEST).to(weight.dtype).float()
    return Parts(weight.float(), {"weight_scale": scale})


def round_by_gptq(
    weight: torch.Tensor, seen: Statistics | None, settings: Settings, group_size: int, damping: float
) -> Parts:
    """Whole numbers by GPTQ; to nearest where nothing went through the layer.

    Args:
        weight: (out, in).
        seen: of the layer's inputs.
        group_size: columns that share a scale.
    """
    numbers = weight.dtype if weight.dtype in (torch.bfloat16, torch.float16) else torch.float16
    hessian = torch.eye(weight.shape[1], device=weight.device) if seen is None else seen.hessian / seen.tokens
    found = solve(
        weight.float(),
        hessian,
        bits=settings.bits,
        group_size=group_size,
        sym=settings.sym,
        desc_act=False,
        damping=damping,
        scale_dtype=numbers,
    )
    scales = {"weight_scale": found.scales.float()}
    if not settings.sym:
        scales["weight_zero_point"] = (found.zeros.int() - 2 ** (settings.bits - 1)).to(torch.int8)
    return Parts(found.packed_weight(), scales)


def to_fp4(weights: Mapping[str, torch.Tensor], described: Any, seen: Statistics | None) -> dict[str, Parts]:
    """NVFP4: 16 weights share a scale of 8 bits, and layers with one input, which servers fuse, a scale of 32.

    Args:
        weights: (out, in), by name, of layers with one input.
        described: the scheme, in the package's words.
        seen: of the input; None where activations are not rounded.

    Raises: TunesmithError when the layers' weights are all 0.
    """
    lowest = torch.stack([weight.float().amin() for weight in weights.values()]).min()
    largest = torch.stack([weight.float().amax() for weight in weights.values()]).max()
    if lowest == largest == 0:
        raise TunesmithError(f"{next(iter(weights))} has no weight that is not 0, and NVFP4 no scale for it.")
    common = generate_gparam(lowest, largest)
    shared = {"weight_global_scale": common.reshape(1).float()}
    if seen is not None:
        shared["input_global_scale"] = generate_gparam(-seen.largest, seen.largest).reshape(1).float()
    found = {}
    for name, weight in weights.items():
        grouped = weight.float().unflatten(1, (-1, described.weights.group_size))
        scale, _ = calculate_qparams(grouped.amin(-1), grouped.amax(-1), described.weights, global_scale=common)
        found[name] = Parts(weight.float(), {"weight_scale": scale.float(), **shared})
    return found
