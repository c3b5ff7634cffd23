"""From a model in full to packed layers: which layers, what replaces them, and the model as it is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith_library_weights.patterns import matches_any, refuse_unknown

from tunesmith_library_quantizing.calibration import Batch, Block, blocks, decoder_layers
from tunesmith_library_quantizing.checkpoint import layout_of, read_layers, to_stored, write_scales
from tunesmith_library_quantizing.grid import Rounded, round_to_nearest
from tunesmith_library_quantizing.linear import PackedLinear


@dataclass(frozen=True)
class Settings:
    """What every method needs to know."""

    bits: int
    group_size: int  # -1: one group per row
    sym: bool
    samples: int  # batches to look at
    length: int  # tokens of a sequence to look at
    skip: Sequence[str]  # patterns of layers that stay as they are
    key: str = "quantizer"  # of the options, for what is said of them
    data: str = "the training data"  # what is looked at, in words

    def group_of(self, layer: nn.Linear) -> int:
        return layer.in_features if self.group_size == -1 else self.group_size

    def fits(self, layer: nn.Linear) -> bool:
        """Whether a layer comes out even: groups lie along the inputs, and 32 numbers are packed together."""
        return not (layer.in_features % self.group_of(layer) or layer.in_features % 32 or layer.out_features % 32)


Method = Callable[[Block], Iterator[tuple[str, Rounded]]]
"""Rounds the weights of one decoder layer. A layer that was yielded is packed before the method goes on."""


@dataclass(frozen=True)
class Quantised:
    """A model that was just quantised, as it is stored; it stays so when an adapter is put into the model."""

    model: Any
    layers: dict[str, PackedLinear]
    others: dict[str, torch.Tensor]  # the weights of all other modules
    config: dict[str, Any]  # the `quantization_config`
    divided: dict[str, torch.Tensor]  # weights, out of `others`, as they are stored where a scale goes into them

    def write(self, folder: Path, processor: Any) -> None:
        """Write the whole model with its tokenizer, as vLLM and transformers load it."""
        layout = layout_of(self.config)
        tensors = self.others | self.divided
        for name, layer in self.layers.items():
            tensors |= {f"{name}.{part}": tensor for part, tensor in to_stored(layer, layout).items()}
        with replacing(folder) as draft:
            self.model.save_pretrained(draft, state_dict=tensors)
            processor.save_pretrained(draft)
            write_scales(self.layers, draft)
        self._is_base(folder)
        announce("quantised base", str(folder), f"stored as {layout}, with which this run is loaded again")

    def read(self, folder: Path) -> None:
        """Take the layers from what an earlier process of this run wrote."""
        for name, layer in read_layers(folder, {name: layer.weight for name, layer in self.layers.items()}):
            self.layers[name].take(layer)
        self._is_base(folder)
        announce("quantised base", str(folder), "of the run that is resumed")

    def _is_base(self, folder: Path) -> None:
        """What is trained over the model from now on has the names of what is stored there."""
        self.model.name_or_path = str(folder)


@torch.no_grad()
def quantise(
    model: Any,
    batches: Iterable[Batch],
    settings: Settings,
    method: Method,
    config: dict[str, Any],
    divided: dict[str, torch.Tensor] | None = None,
) -> Quantised:
    """Replace the linear layers of the decoder layers by packed ones, in place.

    Args:
        batches: of training data.
        config: the `quantization_config` that describes the result; the model gets it.
        divided: where `method` puts the weights that are stored otherwise than they are in memory.

    Raises: TunesmithError when a pattern fits nothing, sizes do not come out even, or the data gives no activations.
    """
    linear = linear_layers(model)
    chosen = _choose(linear, settings)
    tokens = 0
    for block in blocks(model, batches, chosen, settings.samples, settings.length):
        tokens = tokens or sum(call.hidden.shape[:2].numel() for call in block.calls)
        for name, weight in method(block):
            model.set_submodule(name, PackedLinear.of(weight, settings.bits, linear[name]))
    announce(
        "calibrated", f"{tokens:,} tokens of {settings.data}", f"{settings.key}.samples, {settings.key}.sample_length"
    )
    for name in chosen:
        layer = model.get_submodule(name)
        if type(layer) is nn.Linear:
            logger.warning("no calibration example went through %s, which is rounded to nearest", name)
            rounded = round_to_nearest(layer.weight.float(), settings.bits, settings.group_of(layer), settings.sym)
            model.set_submodule(name, PackedLinear.of(rounded, settings.bits, layer))
    model.config.quantization_config = config
    layers = {name: model.get_submodule(name) for name in chosen}
    inside = tuple(f"{name}." for name in layers)
    others = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
    return Quantised(model, layers, others, config, divided or {})


def kept(model: Any, skip: Sequence[str]) -> list[str]:
    """The dotted names of the linear layers within the decoder layers that are not quantised."""
    return [name for name in linear_layers(model) if matches_any(name, skip)]


def gptq_config(settings: Settings, left: list[str]) -> dict[str, Any]:
    """The `quantization_config` of a model in the GPTQ layout.

    Args:
        left: names of the layers that are not quantised; `dynamic` is how gptqmodel and vLLM are told.
    """
    config = {
        "quant_method": "gptq",
        "bits": settings.bits,
        "group_size": settings.group_size,
        "desc_act": False,
        "sym": settings.sym,
        "lm_head": False,
        "checkpoint_format": "gptq" if settings.sym else "gptq_v2",  # gptqmodel reads no other zero points in the first
        "pack_dtype": "int32",
    }
    return config | ({"dynamic": {f"-:^{re.escape(name)}$": {} for name in left}} if left else {})


def is_packed(model: Any) -> bool:
    """Whether any layer of a model is packed."""
    return any(isinstance(module, PackedLinear) for module in model.modules())


def linear_layers(model: Any) -> dict[str, nn.Linear]:
    """The linear layers within the decoder layers, by their dotted names."""
    inside = tuple(f"{name}." for name in decoder_layers(model))
    named = model.named_modules()
    return {name: layer for name, layer in named if type(layer) is nn.Linear and name.startswith(inside)}


def _choose(linear: dict[str, nn.Linear], settings: Settings) -> list[str]:
    refuse_unknown(f"{settings.key}.skip_modules", settings.skip, list(linear), "layer")
    chosen = [name for name in linear if not matches_any(name, settings.skip)]
    for name in chosen:
        layer = linear[name]
        if not settings.fits(layer):
            raise TunesmithError(
                f"{settings.key}.group_size={settings.group_size}: the {layer.out_features} × {layer.in_features} "
                f"weights of {name} do not come out even (groups lie along the inputs, and 32 numbers are packed "
                "together).\n"
                f"  another group_size, or {settings.key}.skip_modules=[{name.rpartition('.')[2]}]"
            )
    return chosen
