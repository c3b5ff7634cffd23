"""Folding an adapter of peft into the weights, and when that must not be done."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D
from tunesmith import TunesmithError

from tunesmith_library_adapting.experts import is_packed

_NARROW = (torch.bfloat16, torch.float16)
_PLAIN_LAYERS = (nn.Linear, nn.Embedding, Conv1D)


def merge(model: Any) -> Any:
    """Fold what each adapted layer adds into its weight: W + (alpha / r) B A of LoRA, W R of OFT.

    Args:
        model: what `apply_adapter` gave; a model without adapter comes back as it is.

    Returns: the plain model, changed in place.

    Raises: TunesmithError when a base layer is quantised (rounding the sum to its few bits loses what was trained,
        and some layers merge wrongly without a word) or when the sum is not finite.
    """
    if not isinstance(model, PeftModel):
        return model
    for name, module in model.named_modules():
        if _is_adapted(module) and not _takes_sum(module):
            raise TunesmithError(
                f"the adapter cannot be merged: {name.removeprefix('base_model.model.')} is a "
                f"{type(module.get_base_layer()).__name__}, and the sum would be rounded to its few bits.\n"
                "  merge into the base that was not quantised: tunesmith export RUN quantizer=null"
            )
    _separate_tied(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="(All adapters are already|Already following adapters were) merged"
            )
            _merge_in_float32(model)
            return model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise TunesmithError(f"the adapter cannot be merged: {error}") from error


def _merge_in_float32(model: Any) -> None:
    """Fold adapters into weights of 16 bits one layer at a time: the sum is float32, and rounded once.

    Raises: TunesmithError for a layer that computes otherwise afterwards, before it is rounded.
    """
    for name, module in model.named_modules():
        if not _is_adapted(module):
            continue
        if not any(weight.dtype in _NARROW for weight in module.get_base_layer().parameters(recurse=False)):
            continue
        dtypes = [(weight, weight.dtype) for weight in module.parameters()]  # the adapter's own too, to be compared
        for weight, dtype in dtypes:
            weight.data = weight.data.float() if dtype in _NARROW else weight.data
        probe = _Probe(module)
        module.merge(safe_merge=True)
        probe.compare(name.removeprefix("base_model.model."))
        for weight, dtype in dtypes:
            weight.data = weight.data.to(dtype)


class _Probe:
    """What a linear layer with an adapter computes of noise, to be compared with what it computes after merging."""

    def __init__(self, module: Any) -> None:
        layer = module.get_base_layer()
        self._module, self._input = module, None
        if isinstance(layer, nn.Linear) and not isinstance(module, ParamWrapper):
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(2, layer.in_features, generator=generator)
            self._input = noise.to(layer.weight.device)
            self._before = self._output()

    def _output(self) -> torch.Tensor:
        training = self._module.training
        with torch.no_grad():
            said: torch.Tensor = self._module.eval()(self._input)
        self._module.train(training)
        return said

    def compare(self, name: str) -> None:
        """Raises: TunesmithError when the layer computes something else now."""
        if self._input is None:
            return
        apart, size = (self._output() - self._before).abs().max(), self._before.abs().max()
        if not apart <= 1e-3 * max(float(size), 1e-6):
            raise TunesmithError(
                f"the adapter cannot be merged: {name} computes something else afterwards, by {float(apart):.2g} of "
                f"{float(size):.2g}.\n  serve the adapter alone: exporter=adapter"
            )


def _separate_tied(model: Any) -> None:
    """Give an adapted layer whose weight another layer shares a weight of its own.

    Head and embeddings are often one tensor: what is added for the adapter of one would change the other.
    """
    owners = Counter(id(module.weight) for module in model.modules() if isinstance(module, _PLAIN_LAYERS))
    for module in model.modules():
        layer = module.get_base_layer() if _is_adapted(module) and not isinstance(module, ParamWrapper) else None
        if layer is not None and owners[id(layer.weight)] > 1:
            layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
            model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False


def _takes_sum(module: Any) -> bool:
    """Whether what an adapter adds can be added to the numbers beneath it."""
    if isinstance(module, ParamWrapper):
        parameter: torch.Tensor = module.get_param()  # type: ignore[no-untyped-call]  # peft does not annotate it
        return not is_packed(module) and parameter.is_floating_point()
    return is_plain(module.get_base_layer())


def _is_adapted(module: Any) -> bool:
    """Whether a module is a layer with an adapter; rows of single tokens belong to a tied weight's both layers."""
    return isinstance(module, BaseTunerLayer) and not isinstance(module, TrainableTokensLayer)


def is_plain(layer: Any) -> bool:
    """Whether a layer computes with the floating-point tensor that it holds.

    Quantised layers either compute in their own way or hold a tensor of another kind.
    """
    known = next((kind for kind in _PLAIN_LAYERS if isinstance(layer, kind)), None)
    if known is None or type(layer).forward is not known.forward:
        return False
    weight = layer.weight.data
    return type(weight) is torch.Tensor and weight.is_floating_point()
