"""Where the division of an input by the scale can go: into the norm, or the linear layer, that makes the input.

Which module that is, the model's code knows, and it differs between architectures. It is found out by trying: in a
float32 copy of the decoder layer a candidate's outputs are divided and the columns behind are multiplied by a probe;
where nothing changes that the decoder layer gives, the candidate is the one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tunesmith_library_quantizing.calibration import Block, Linears

_TOLERANCE = 1e-4  # relative change of an output in float32 that is rounding


@dataclass(frozen=True)
class Place:
    """A module whose outputs are an input's channels."""

    name: str  # dotted, in the model
    offset: int | None  # of a norm: it multiplies by its weight + offset; None for a linear layer


class Finder:
    """Finds the places of one decoder layer."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._copy: Any = copy.deepcopy(block.module).float()
        self._call = block.calls[0]

    def find(self, linears: Linears) -> Place | None:
        """The place before layers that share their input; None when there is none, as before grouped-query heads."""
        names = [self._inner(name) for name in linears]
        width = next(iter(linears.values())).in_features
        before = self._outputs(names)
        probe = torch.linspace(0.5, 2, width, device=self._block.device)
        for place in self._candidates(names, width):
            touched = [self._copy.get_submodule(name) for name in (self._inner(place.name), *names)]
            former = [(tensor, tensor.detach().clone()) for module in touched for tensor in module.parameters()]
            for name, tensor in divided(touched[0], place.offset, probe).items():
                getattr(touched[0], name).copy_(tensor)
            for layer in touched[1:]:
                layer.weight.mul_(probe)
            after = self._outputs(names)
            for tensor, value in former:
                tensor.copy_(value)
            if all(_same(new, old) for new, old in zip(after, before, strict=True)):
                return place
        return None

    def _candidates(self, behind: list[str], width: int) -> Iterator[Place]:
        linear = []
        for name, module in self._copy.named_modules():
            weight = getattr(module, "weight", None)
            whole = f"{self._block.name}.{name}"
            if isinstance(module, nn.Linear):
                if module.out_features == width and name not in behind:
                    linear.append(Place(whole, None))
            elif isinstance(weight, torch.Tensor) and weight.shape == (width,):
                yield Place(whole, 0)
                yield Place(whole, 1)
        yield from linear

    def _outputs(self, names: list[str]) -> list[torch.Tensor]:
        """What the layers of these names give, and the decoder layer."""
        found: list[torch.Tensor] = []
        layers = [self._copy.get_submodule(name) for name in names]
        handles = [layer.register_forward_hook(lambda _, __, output: found.append(output)) for layer in layers]
        try:
            whole = self._block.run(self._call, self._copy, torch.float32)
        finally:
            for handle in handles:
                handle.remove()
        return [*found, whole]

    def _inner(self, name: str) -> str:
        return name.removeprefix(f"{self._block.name}.")


def divided(module: Any, offset: int | None, scale: torch.Tensor) -> dict[str, torch.Tensor]:
    """The weight and the bias of a norm or linear layer whose outputs (…, n) are divided by a scale (n,)."""
    weight, bias = module.weight.detach(), getattr(module, "bias", None)
    new = weight.float() / scale[:, None] if offset is None else (weight.float() + offset) / scale - offset
    found = {"weight": new.to(weight.dtype)}
    return found if bias is None else found | {"bias": (bias.detach().float() / scale).to(bias.dtype)}


def _same(new: torch.Tensor, old: torch.Tensor) -> bool:
    return bool((new - old).norm() <= _TOLERANCE * old.norm())
