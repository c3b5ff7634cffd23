"""Rounding into packed layers, GPTQ's and AWQ's, in the layouts that transformers and vLLM load."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from tunesmith.types import Batch
from tunesmith_library_proving.figures import Limits
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_quantizing.checkpoint import layout_of, to_stored
from tunesmith_library_quantizing.loading import stored
from tunesmith_library_quantizing.quantising import Quantised, Settings

from tunesmith_library_compressing.methods import Method, Names, Stored

LIMITS = {
    8: Limits(divergence=0.05, beside_base=5.0),
    4: Limits(divergence=0.3, beside_base=5.0),
    3: Limits(divergence=1.0, beside_base=5.0),
    2: Limits(divergence=3.0, beside_base=5.0),
}
"""By bits: the mean divergence that rounding may make, in nats, or so many times the base's own."""


class Packed(Method):
    """A method whose rounded layers are those of the library quantizing."""

    writing = Limits(largest=1e-3)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.limits = LIMITS[settings.bits]
        self._config: dict[str, Any] = {}

    @abstractmethod
    def quantise(self, model: Any, batches: Sequence[Batch], settings: Settings) -> Quantised:
        """Round a model in place."""

    def round(self, model: Any, batches: Sequence[Batch], skip: Sequence[str]) -> Stored:
        done = self.quantise(model, batches, replace(self.settings, skip=skip))
        self._config, layout = done.config, layout_of(done.config)
        return Stored({name: to_stored(layer, layout) for name, layer in done.layers.items()}, done.divided)

    def config(self, names: Names) -> dict[str, Any]:
        if layout_of(self._config) == "awq":
            left = [*names.left, *names.experts, *names.outside]
            return self._config | {"modules_to_not_convert": left or None}
        exact = [f"-:^{re.escape(name)}$" for name in (*names.left, *names.outside)]
        inside = [f"-:^{re.escape(name)}(\\.|$)" for name in names.experts]
        plain = {key: value for key, value in self._config.items() if key != "dynamic"}
        return plain | ({"dynamic": {pattern: {} for pattern in (*exact, *inside)}} if exact or inside else {})

    def read(self, folder: Path, device: Any) -> ModelReader:
        """By transformers, without gptqmodel, which it asks for otherwise: it reads the tensors, and the library
        quantizing makes the layers of them."""
        config = transformers.AutoConfig.from_pretrained(folder)
        del config.quantization_config
        reader = load_folder(folder, device, config=config, quantization_config=stored(folder))
        reader.program = f"transformers {transformers.__version__} with tunesmith-library-quantizing"
        return reader
