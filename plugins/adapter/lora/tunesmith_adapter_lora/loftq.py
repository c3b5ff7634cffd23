"""LoftQ: start the adapter at what the quantizer rounded away, so that training begins near the full-precision model.

Li et al. 2023, "LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models" (arXiv 2310.08659), equation 6
with one alternation: min |W - Q - s B A|, the Frobenius norm, for the quantised weight Q that is at hand. By Eckart
and Young the best B A of rank r is the truncated singular value decomposition of W - Q. Q stays as it is, so that the
run is served over the same quantizer; any quantizer will do, because Q is read off the layer's own answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D
from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith_library_adapting.merging import is_plain

from .original import OriginalWeights
from .starting import Start

FILE = "loftq_start.safetensors"
"""Beside a saved adapter: what it started with, to be taken out again where the base is not quantised."""

_CHUNK = 1024  # rows of the identity that a layer is applied to at once
_EXACT = 1024  # size up to which the decomposition is exact
_SKETCH, _ITERATIONS = 4, 8  # width of the random sketch over the rank, and its power iterations


def start_from_rounding(model: Any, folder: Path) -> Start:
    """Set A and B of every adapted layer whose base is quantised to the best approximation of what was rounded away.

    Args:
        model: a peft model with fresh LoRA matrices; changed in place.
        folder: with the base's safetensors, in the numbers it was quantised from.

    Returns: what was put in: layer -> A, B, scale.

    Raises: TunesmithError when the folder does not hold the weights that were quantised, or nothing is quantised.
    """
    original, begun, start = OriginalWeights(folder), time.monotonic(), {}
    rounded = kept = 0.0
    with torch.no_grad():
        for name, layer in _adapted_layers(model):
            quantised = weight_of(layer.get_base_layer(), model.dtype)
            rest = original.nearest(name.removeprefix("base_model.model."), quantised) - quantised
            start[name] = _set(layer, quantised, rest)
            a, b, scale = start[name]
            rounded += rest.square().sum().item()
            kept += (rest.cpu() - scale * b @ a).square().sum().item()
    if not start:
        raise TunesmithError(
            "adapter.init=loftq: no adapted layer is quantised.\n  choose a quantizer, or adapter.init=true"
        )
    announce("LoftQ", f"{1 - kept / rounded:.1%} of the rounding error is in the adapter", _took(len(start), begun))
    return start


def weight_of(layer: Any, dtype: torch.dtype) -> torch.Tensor:
    """The weight (out, in) that a linear layer computes with, float32: its answer to the identity, without its bias.

    Args:
        dtype: numbers of the inputs that the layer takes.
    """
    width, device = layer.in_features, next(chain(layer.parameters(), layer.buffers())).device
    place: Any = {"dtype": dtype, "device": device}
    training, columns = layer.training, []
    layer.train()  # some quantised layers rearrange their weights when they are first evaluated
    try:
        bias = layer(torch.zeros(1, width, **place)).float()
        for first in range(0, width, _CHUNK):
            inputs = torch.zeros(min(_CHUNK, width - first), width, **place)
            inputs.diagonal(first).fill_(1)
            columns.append(layer(inputs).float() - bias)
    finally:
        layer.train(training)
    return torch.cat(columns).T


def approximate(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors B (out, R) and A (R, in) of the nearest matrix of a rank, of equal norms.

    Exact up to 1024 rows or columns. Larger ones go by a random sketch of four times the rank and eight iterations
    (Halko et al. 2011, arXiv 0909.4061, algorithm 4.4), which finds 97 to 99 % of the best even of the flat spectrum of
    rounding errors, in a twentieth of the time.
    """
    width = _SKETCH * rank
    if min(matrix.shape) <= max(_EXACT, 2 * width):
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    else:
        with torch.random.fork_rng([matrix.device] if matrix.is_cuda else []):
            torch.manual_seed(0)
            u, s, v = torch.svd_lowrank(matrix, width, niter=_ITERATIONS)
        vt = v.T
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vt[:rank]


def _adapted_layers(model: Any) -> Iterator[tuple[str, LoraLayer]]:
    """The adapted linear layers with a quantised base; embeddings have no `lora_A`."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and module.lora_A and not is_plain(module.get_base_layer()):
            yield name, module


def _set(layer: Any, quantised: torch.Tensor, rest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Let s B A be the nearest to `rest`; DoRA's magnitudes become the norms of the rows of Q + s B A."""
    (adapter,) = layer.lora_A
    first, second, scale = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, float(layer.scaling[adapter])
    if rest.shape[0] < len(first) or rest.shape[1] < len(first):
        raise TunesmithError(f"adapter.rank={len(first)} is above the sizes {tuple(rest.shape)} of a layer.")
    b, a = approximate(rest, len(first))
    first.copy_(a / scale**0.5)
    second.copy_(b / scale**0.5)
    if layer.use_dora.get(adapter):
        norms = (quantised + b @ a).norm(dim=1)
        layer.lora_magnitude_vector[adapter].weight.copy_(norms)
    return first.detach().float().cpu().clone(), second.detach().float().cpu().clone(), scale


def save_start(folder: Path, start: Start) -> None:
    """Write what an adapter started with beside it; the scale goes into B."""
    weights: dict[str, torch.Tensor] = {}
    for name, (a, b, scale) in start.items():
        weights |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b * scale}
    with replacing(folder / FILE) as draft:
        save_file(weights, draft, {"format": "pt"})


def read_start(folder: Path) -> Start:
    """What `save_start` wrote; {} for an adapter that LoftQ did not start."""
    if not (folder / FILE).is_file():
        return {}
    weights = load_file(folder / FILE)
    names = [name.removesuffix(".lora_A.weight") for name in weights if name.endswith(".lora_A.weight")]
    return {name: (weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"], 1.0) for name in names}


def fit_to_base(model: Any, start: Start, folder: Path, follows: bool) -> None:
    """Make up for a base that is not quantised: W - s B0 A0 instead of Q, so that only what was learned is added.

    Args:
        follows: the adapter is to be trained on; its run would later be served without this change.

    Raises: TunesmithError when `follows` and the base is not quantised.
    """
    changed = 0
    for name, (a, b, scale) in start.items():
        layer = model.get_submodule(name).get_base_layer()
        if not is_plain(layer):
            continue
        if follows:
            raise TunesmithError(
                f"{folder} holds an adapter that LoftQ started over a quantised base, and this base is not quantised.\n"
                "  choose the same quantizer, or adapter.restart=true to merge it and train a fresh one"
            )
        delta = (b @ a * scale).to(layer.weight.device)
        delta = delta.T if isinstance(layer, Conv1D) else delta
        layer.weight.data = (layer.weight.data.float() - delta).to(layer.weight.dtype)
        changed += 1
    if changed:
        announce("LoftQ", f"its start is taken out of {changed} layers", "the base is not quantised")


def _took(layers: int, begun: float) -> str:
    return f"{layers} layers in {time.monotonic() - begun:.0f} s"
