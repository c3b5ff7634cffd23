"""Loading a model that is stored in GPTQ or AWQ, through transformers' registry of quantisers, without gptqmodel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin
from tunesmith import TunesmithError

from tunesmith_library_quantizing.checkpoint import (
    from_stored,
    layout_of,
    packed_layers,
    quantization_of,
    stored_shapes,
)

_METHOD = "tunesmith_packed"


@register_quantization_config(_METHOD)
class StoredConfig(QuantizationConfigMixin):
    """What transformers is told instead of the model's own `quantization_config`, which would ask for gptqmodel."""

    replaces_stored = True  # read by the model plugin

    def __init__(self, folder: str, quant_method: str = _METHOD) -> None:
        """Args: folder: that holds config.json and the weights."""
        self.quant_method = quant_method  # type: ignore[assignment]  # of our own, which their enumeration lacks
        self.folder = folder


@register_quantizer(_METHOD)
class StoredQuantizer(HfQuantizer):
    """Puts a place for the stored tensors where a linear layer was, and a packed layer there once they are read."""

    quantization_config: StoredConfig

    def __init__(self, quantization_config: StoredConfig, **kwargs: Any) -> None:
        super().__init__(quantization_config, **{**kwargs, "pre_quantized": True})
        self._places: list[str] = []

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> None:
        modules = dict(model.named_modules())
        for name, parts in packed_layers(Path(self.quantization_config.folder)).items():
            if not isinstance(modules.get(name), nn.Linear):
                raise TunesmithError(f"the stored layer {name} is no linear layer of {type(model).__name__}")
            place = nn.Module()
            for part, tensor in stored_shapes(name, parts).items():
                place.register_parameter(part, nn.Parameter(tensor, requires_grad=False))
            model.set_submodule(name, place)
            self._places.append(name)

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> None:
        config = quantization_of(Path(self.quantization_config.folder)) or {}
        for name in self._places:
            tensors = {part: tensor.detach() for part, tensor in model.get_submodule(name).named_parameters()}
            model.set_submodule(name, from_stored(tensors, config, model.dtype))
        model.config.quantization_config = config

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        """What is read is not written again: the layers have one layout in memory, whichever they were stored in."""
        return False

    @property
    def is_trainable(self) -> bool:
        return True


def stored(folder: Path) -> StoredConfig | None:
    """What to load a folder with; None when it is stored in full.

    Raises: TunesmithError when it is stored in a layout that cannot be read.
    """
    config = quantization_of(folder)
    if config is None:
        return None
    layout_of(config)
    return StoredConfig(str(folder))
