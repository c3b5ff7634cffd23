"""Rounding a merged model for the compressed-tensors format, layer by layer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import compressed_tensors
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus
from compressed_tensors.quantization.lifecycle.forward import set_forward_quantized
from torch import nn
from tqdm import tqdm
from tunesmith import announce
from tunesmith.types import Batch
from tunesmith_library_compressing.methods import Method, Names, Stored
from tunesmith_library_proving.figures import Limits
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_quantizing.calibration import Linears, Statistics, blocks
from tunesmith_library_quantizing.quantising import Settings, linear_layers
from tunesmith_library_weights.patterns import matches_any

from .rounding import Parts, round_by_gptq, to_fp4, to_fp8
from .schemes import Scheme

_EXPERT = re.compile(r"\.experts\.\d+\.\w+\.weight$")
_SIDE = 16  # sizes of the layers that kernels for 8 bits and for NVFP4 take are multiples of it


class CompressedMethod(Method):
    """One scheme of the format; the package compresses, and decompresses what is looked at.

    Args:
        damping: part of the mean diagonal of the Hessian that is added to the diagonal.
    """

    writing = Limits(largest=1e-3)

    def __init__(self, settings: Settings, scheme: Scheme, damping: float) -> None:
        super().__init__(settings)
        self.limits, self.dtype = scheme.limits, scheme.dtype
        self.looks = scheme.by_gptq or scheme.sees_inputs
        self._scheme, self._damping = scheme, damping
        self._described = scheme.described(settings.group_size, settings.sym)
        self._compressor = BaseCompressor.get_value_from_registry(scheme.form)

    def fits(self, layer: nn.Linear) -> bool:
        if self._scheme.preset == "W4A16":
            return self.settings.fits(layer)
        return not (layer.in_features % _SIDE or layer.out_features % _SIDE)

    def unreadable(self, model: Any, files: Collection[str]) -> str:
        """transformers merges experts while it loads them, and beside other schemes than FP8 takes all for packed."""
        held = {name for name, _ in model.named_parameters()}
        merged = next((name for name in files if _EXPERT.search(name) and name not in held), None)
        if merged is None or self._scheme.form == "float-quantized":
            return ""
        return (
            f"transformers {transformers.__version__} reads no experts in full, such as {merged}, beside layers of "
            f"this scheme, and experts in one tensor are not rounded.\n  {self.settings.key}.scheme=fp8, or "
            f"exporter=gptq; {self.settings.key}.verify=false writes it all the same, for vLLM"
        )

    def round(self, model: Any, batches: Sequence[Batch], skip: Sequence[str]) -> Stored:
        chosen = {name: layer for name, layer in linear_layers(model).items() if not matches_any(name, skip)}
        layers: dict[str, Mapping[str, torch.Tensor]] = {}
        for linears, seen in self._groups(model, batches, chosen):
            for name, parts in self._rounded(linears, seen).items():
                layers[name] = self._put(linears[name], parts)
        if self._described.input_activations is not None:
            for name, layer in chosen.items():
                _compute_rounded(layer, self._described, layers[name])
        return Stored(layers, {})

    def config(self, names: Names) -> dict[str, Any]:
        inside = [f"re:^{re.escape(name)}\\..*" for name in names.experts]
        said = QuantizationConfig(
            config_groups={"group_0": self._described.model_copy(update={"format": self._scheme.form})},
            format=self._scheme.form,
            quantization_status=QuantizationStatus.COMPRESSED,
            ignore=[*names.head, *names.left, *names.outside, *inside],
        )
        described: dict[str, Any] = said.model_dump(mode="json")
        return described | {"version": compressed_tensors.__version__}

    def read(self, folder: Any, device: Any) -> ModelReader:
        with _without_bars(), torch.no_grad():
            reader = load_folder(folder, device)
            # the first pass decompresses the weights, which it can do of a model as it was loaded
            reader.model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=reader.model.device), use_cache=False)
        version = compressed_tensors.__version__
        reader.program = f"transformers {transformers.__version__} with compressed-tensors {version}"
        return reader

    def _groups(
        self, model: Any, batches: Sequence[Batch], chosen: Linears
    ) -> Iterator[tuple[Linears, Statistics | None]]:
        """The layers that share their input, with what goes through them where that is looked at."""
        if not self.looks:
            yield from ((linears, None) for linears in _siblings(chosen))
            return
        settings, tokens, seen = self.settings, 0, set[str]()
        for block in blocks(model, batches, chosen, settings.samples, settings.length):
            tokens = tokens or sum(call.hidden.shape[:2].numel() for call in block.calls)
            for linears in block.groups():
                (statistics,) = block.statistics([linears])
                seen |= linears.keys()
                yield linears, statistics
        announce("calibrated", f"{tokens:,} tokens of {settings.data}", f"{settings.key}.samples, sample_length")
        rest = {name: layer for name, layer in chosen.items() if name not in seen}
        yield from ((linears, None) for linears in _siblings(rest))

    def _rounded(self, linears: Linears, seen: Statistics | None) -> dict[str, Parts]:
        weights = {name: layer.weight.detach() for name, layer in linears.items()}
        if self._scheme.by_gptq:
            return {
                name: round_by_gptq(weight, seen, self.settings, self.settings.group_of(linears[name]), self._damping)
                for name, weight in weights.items()
            }
        if self._scheme.bits == 8:
            return {name: to_fp8(weight, self._scheme.whole) for name, weight in weights.items()}
        return to_fp4(weights, self._described, seen if self._scheme.sees_inputs else None)

    def _put(self, layer: nn.Linear, parts: Parts) -> dict[str, torch.Tensor]:
        """Let a layer compute with its rounded weight.

        Returns: what files hold, on the CPU.
        """
        dtype = layer.weight.dtype
        compressed = self._compressor.compress({"weight": parts.weight, **parts.scales}, self._described)
        stored = {name: tensor.detach() for name, tensor in compressed.items()}
        if "weight_global_scale" not in stored:
            stored["weight_scale"] = stored["weight_scale"].to(dtype)
        layer.weight.data = self._compressor.decompress(dict(stored), self._described)["weight"].to(dtype)
        return {name: tensor.cpu().contiguous() for name, tensor in stored.items()}


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Let the package count its layers in silence; it has no option for that."""
    shown: Any = tqdm.__init__

    def hidden(bar: Any, *given: Any, **options: Any) -> None:
        shown(bar, *given, **{**options, "disable": True})

    setattr(tqdm, "__init__", hidden)  # noqa: B010 - mypy lets no method be set
    try:
        yield
    finally:
        setattr(tqdm, "__init__", shown)  # noqa: B010


def _compute_rounded(layer: nn.Linear, described: Any, stored: Mapping[str, torch.Tensor]) -> None:
    """Let a layer round its inputs as the written one does."""
    found: Any = layer
    found.quantization_scheme, found.quantization_status = described, QuantizationStatus.COMPRESSED
    if "input_global_scale" in stored:
        scale = stored["input_global_scale"].to(layer.weight.device)
        layer.register_parameter("input_global_scale", nn.Parameter(scale, requires_grad=False))
    set_forward_quantized(layer)


def _siblings(linears: Linears) -> Iterator[Linears]:
    """Layers of one module that have as many inputs, which servers fuse: q, k and v; gate and up."""
    found: dict[tuple[str, int], Linears] = {}
    for name, layer in linears.items():
        found.setdefault((name.rpartition(".")[0], layer.in_features), {})[name] = layer
    yield from found.values()
