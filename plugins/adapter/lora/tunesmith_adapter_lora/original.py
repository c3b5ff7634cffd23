"""The weights that a quantised layer was made from, read from the base's safetensors one at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from tunesmith import TunesmithError


class OriginalWeights:
    """The tensors of a folder by name; only what is asked for is read."""

    def __init__(self, folder: Path) -> None:
        """Raises: TunesmithError when the folder has no safetensors."""
        self._folder = folder
        self._files: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as weights:
                self._files |= dict.fromkeys(weights.keys(), file)
        if not self._files:
            raise TunesmithError(f"adapter.init=loftq reads the base's safetensors, and {folder} has none.")

    def nearest(self, layer: str, quantised: torch.Tensor) -> torch.Tensor:
        """The weight that a layer's quantised one was rounded from.

        A model may name its layers otherwise than its files do (a prefix more or less) and may hold a weight as
        (in, out). Of the tensors whose names agree longest from the end, the nearest to the quantised weight is taken.

        Args:
            layer: dotted name of the layer.
            quantised: (out, in), float32.

        Returns: (out, in), float32, on the device of `quantised`.

        Raises: TunesmithError when none is near: the folder holds other weights, or quantised ones.
        """
        found = [
            weight
            for name in self._candidates(f"{layer}.weight")
            for read in (self._read(name).to(quantised.device),)
            for weight in (read, read.T)
            if weight.shape == quantised.shape
        ]
        rests = [(weight - quantised).norm().item() for weight in found]
        if not found or not min(rests) < quantised.norm().item():
            raise TunesmithError(
                f"adapter.init=loftq compares {layer} with the weight that it was quantised from, and "
                f"{self._folder} does not hold it.\n"
                "  take the model's 16-bit version as model.path with a quantizer, or adapter.init=true"
            )
        return found[rests.index(min(rests))]

    def _candidates(self, name: str) -> list[str]:
        if name in self._files:
            return [name]
        common = {key: _common_parts(key, name) for key in self._files}
        longest = max(common.values())
        return [key for key, parts in common.items() if parts == longest and parts > 1]

    def _read(self, name: str) -> torch.Tensor:
        """A matrix in float32; whole numbers and other shapes become an empty one, which fits nothing."""
        with safe_open(self._files[name], "pt") as weights:
            tensor = weights.get_tensor(name)
        return tensor.float() if tensor.ndim == 2 and tensor.is_floating_point() else torch.empty(0, 0)


def _common_parts(one: str, other: str) -> int:
    """How many parts of two dotted names agree, counted from the end."""
    pairs = zip(reversed(one.split(".")), reversed(other.split(".")), strict=False)
    count = 0
    for left, right in pairs:
        if left != right:
            break
        count += 1
    return count
