"""What a format of few bits brings: how it rounds a model, and which program reads its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tunesmith.types import Batch
from tunesmith_library_proving.figures import Limits
from tunesmith_library_proving.readers import ModelReader
from tunesmith_library_quantizing.quantising import Settings


@dataclass(frozen=True)
class Stored:
    """A model in few bits as it goes into files; names are those of the loaded model."""

    layers: Mapping[str, Mapping[str, torch.Tensor]]  # of each rounded layer what takes the place of its weight
    changed: Mapping[str, torch.Tensor]  # other weights that have other numbers now, such as norms that take a scale


@dataclass(frozen=True)
class Names:
    """What a written model's files call its layers."""

    rounded: Sequence[str]  # the layers in few bits
    left: Sequence[str]  # those of the decoder layers that keep their numbers, such as routers
    experts: Sequence[str]  # what holds experts by their numbers, which keep theirs: model.layers.0.mlp.experts
    head: Sequence[str]  # the output layer
    outside: Sequence[str]  # other linear layers outside the decoder layers, such as a vision tower's


class Method(ABC):
    """Rounds a loaded model in place, and knows how it is stored."""

    limits: Limits
    """What rounding may change; the base's own drift in this format counts beside it."""
    writing: Limits
    """What may differ between the rounded model in memory and the written one."""
    looks: bool = True
    """Whether it looks at data."""
    dtype: str = "auto"
    """In what a model is merged: torch's name, or auto, which is the base's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def fits(self, layer: nn.Linear) -> bool:
        """Whether the format has a place for a layer."""
        return self.settings.fits(layer)

    def unreadable(self, model: Any, files: Collection[str]) -> str:
        """Why the program of `read` cannot load such a model in this format, and what to do; "" where it can.

        Args:
            files: the names of the tensors in the files that the model was loaded from.
        """
        return ""

    @abstractmethod
    def round(self, model: Any, batches: Sequence[Batch], skip: Sequence[str]) -> Stored:
        """Round the linear layers of the decoder layers in place.

        Args:
            batches: input_ids (1, T), int64, each.
            skip: patterns of layers that stay as they are.
        """

    @abstractmethod
    def config(self, names: Names) -> dict[str, Any]:
        """The `quantization_config` of config.json."""

    @abstractmethod
    def read(self, folder: Path, device: Any) -> ModelReader:
        """The written folder, by the program that serves it, or the one that is nearest to that and at hand.

        Raises: TunesmithError when it cannot be loaded.
        """
