"""Fused experts in 4 or 8 bits of bitsandbytes, whose layers and whose reader in transformers know linear layers alone.

4 bits: blocks of 64 numbers of the parameter as it lies in memory. 8 bits: one scale per row along the inputs, as in
LLM.int8; but the dequantised rows are multiplied with inputs in 16 bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from bitsandbytes import functional
from torch import Tensor, nn
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from tunesmith_library_weights.experts import ExpertWeight, Packed, fused_experts
from tunesmith_library_weights.packing import Pack, device_of, hold
from tunesmith_library_weights.patterns import matches_any


class FourBitExperts(Packed):
    """A parameter of any shape in 4-bit blocks, read by bitsandbytes."""

    def __init__(self, shape: torch.Size, state: functional.QuantState) -> None:
        super().__init__(shape, state.dtype)
        self.state = state

    def dequantise(self, packed: Tensor) -> Tensor:
        if self.state.absmax.device != packed.device:
            self.state.to(packed.device)
        return functional.dequantize_4bit(packed, self.state)


class EightBitExperts(Packed):
    """A parameter (experts, …) of whole numbers of 8 bits, with a scale for each row along the inputs."""

    scale: Tensor

    def __init__(self, scale: Tensor, shape: torch.Size, dtype: torch.dtype) -> None:
        super().__init__(shape, dtype)
        self.register_buffer("scale", scale)

    def dequantise(self, packed: Tensor) -> Tensor:
        return (packed * self.scale).to(self.dtype)


def packing(bits: int, quant_type: str, double_quant: bool, storage: str) -> Pack:
    """How a parameter of experts becomes few bits, with the options of the plugin."""

    def four(weight: ExpertWeight, value: Tensor) -> tuple[Tensor, Packed]:
        stored, state = functional.quantize_4bit(
            value.contiguous(),
            blocksize=64,
            compress_statistics=double_quant,
            quant_type=quant_type,
            quant_storage=getattr(torch, storage),
        )
        return stored, FourBitExperts(weight.shape, state)

    def eight(weight: ExpertWeight, value: Tensor) -> tuple[Tensor, Packed]:
        largest = value.abs().amax(dim=1 if weight.transposed else 2, keepdim=True).float()
        scale = largest.clamp(min=torch.finfo(torch.float32).tiny) / 127
        whole = (value / scale).round_().clamp_(-127, 127).to(torch.int8)
        return whole, EightBitExperts(scale, weight.shape, value.dtype)

    make = four if bits == 4 else eight
    return lambda weight, value: make(weight, value.to(device_of(value)))


@contextlib.contextmanager
def packed_while_read(pack: Pack, skip: Sequence[str]) -> Iterator[None]:
    """Let transformers pack each parameter of experts as soon as it is read, so that they never are there in full.

    Its two readers for bitsandbytes are replaced by ours as long as the context lasts.
    """
    names = ("bitsandbytes_4bit", "bitsandbytes_8bit")
    theirs = {name: AUTO_QUANTIZER_MAPPING[name] for name in names}
    for name, reader in theirs.items():
        AUTO_QUANTIZER_MAPPING[name] = _with_experts(reader, pack, skip)
    try:
        yield
    finally:
        AUTO_QUANTIZER_MAPPING.update(theirs)


def _with_experts(reader: Any, pack: Pack, skip: Sequence[str]) -> Any:
    """A reader of transformers that packs experts too."""

    class Reader(reader):  # type: ignore[misc]
        def preprocess_model(self, model: Any, **options: Any) -> None:
            found = [] if self.pre_quantized else fused_experts(model)
            self.experts = {item.name: item for item in found if not matches_any(item.name, skip)}
            self.packed: dict[str, Packed] = {}
            super().preprocess_model(model, **options)

        def param_needs_quantization(self, model: Any, param_name: str, **options: Any) -> bool:
            return param_name in self.experts or super().param_needs_quantization(model, param_name, **options)

        def get_quantize_ops(self) -> Any:
            return _Operation(super().get_quantize_ops(), self.pack_one, self.experts)

        def pack_one(self, name: str, value: Tensor) -> nn.Parameter:
            item = self.experts[name]
            stored, self.packed[name] = pack(item, value)
            return nn.Parameter(stored, requires_grad=False)

        def postprocess_model(self, model: Any, **options: Any) -> Any:
            for name, parametrization in self.packed.items():
                item = self.experts[name]
                hold(item.owner, item.parameter, getattr(item.owner, item.parameter).data, parametrization)
            return super().postprocess_model(model, **options)

    return Reader


class _Operation:
    """What transformers does with a weight that was read: ours for experts, else its own."""

    def __init__(self, theirs: Any, pack_one: Callable[[str, Tensor], nn.Parameter], experts: Any) -> None:
        self.theirs, self.pack_one, self.experts = theirs, pack_one, experts

    def convert(self, input_dict: dict[str, Any], **options: Any) -> dict[str, Any]:
        (name, value), *_ = input_dict.items()
        if name not in self.experts:
            converted: dict[str, Any] = self.theirs.convert(input_dict, **options)
            return converted
        return {name: self.pack_one(name, value[0] if isinstance(value, list) else value)}
