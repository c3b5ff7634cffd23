"""What OFT costs: the numbers of its rotations, by the names of the layers; without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import is_of
from tunesmith_library_weights.patterns import matches, matches_any

if TYPE_CHECKING:
    from tunesmith_adapter_oft import Oft

_BLOCK_SIZE = 32


def estimate_oft(oft: Oft, estimate: Estimate) -> Estimate:
    """Freeze the model, and add what is trained beside its linear layers, in float32; fused experts are none."""
    layers = [weight for weight in estimate.weights if _is_adapted(oft, weight)]
    adapted = {weight.name.removesuffix(".weight") for weight in layers}
    weights = []
    for weight in estimate.weights:
        owner, _, kind = weight.name.rpartition(".")
        learns = kind == "bias" and (oft.bias == "all" or (oft.bias == "oft_only" and owner in adapted))
        weights.append(replace(weight, trained=learns, bits=32.0 if learns else weight.bits))
    whole = [weight for weight in estimate.weights if _is_whole(oft, weight)]
    names = {weight.name for weight in (*layers, *whole)}
    found = replace(estimate, weights=tuple(weights)).reaching("adapter, OFT", names)
    copies = [replace(item, name=f"{item.name}.modules_to_save", bits=32.0, trained=True) for item in whole]
    made = replace(found, weights=(*found.weights, *_rotations(oft, layers), *copies))
    if oft.block_share:
        return made
    return made.offering(Change(("adapter.block_share=true",), "method", "all blocks of a layer are the same rotation"))


def _is_adapted(oft: Oft, weight: Weight) -> bool:
    name = weight.name.removesuffix(".weight")
    asked = [oft.target_modules] if isinstance(oft.target_modules, str) else oft.target_modules
    fits = any(weight.kind == "linear" if pattern == "all" else matches(name, pattern) for pattern in asked)
    left = [*oft.exclude_modules, *oft.modules_to_save]
    return weight.kind in ("linear", "head") and is_of(weight, oft.towers) and fits and not matches_any(name, left)


def _is_whole(oft: Oft, weight: Weight) -> bool:
    module = f".{weight.name.rpartition('.')[0]}"
    return any(module.endswith(f".{asked}") or f".{asked}." in module for asked in oft.modules_to_save)


def _rotations(oft: Oft, layers: list[Weight]) -> Iterator[Weight]:
    """What is above the diagonal of each skew-symmetric block, (blocks, size · (size - 1) / 2)."""
    for weight in layers:
        inputs = weight.shape[1]
        size = inputs // oft.rank if oft.rank else oft.block_size or _BLOCK_SIZE
        blocks = 1 if oft.block_share else inputs // size
        name = f"{weight.name.removesuffix('.weight')}.oft_R.weight"
        yield Weight(name, (blocks, size * (size - 1) // 2), "other", 32.0, True)
