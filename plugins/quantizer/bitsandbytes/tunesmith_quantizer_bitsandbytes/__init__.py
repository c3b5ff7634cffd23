"""Weights of 4 or 8 bits while the model is loaded, by bitsandbytes: what QLoRA trains over.

4 bits: each weight is the nearest of 16 values c_i times the largest magnitude of its block of 64 weights,
w ≈ c_i · max|w_block|; nf4's values are the quantiles of a normal distribution, and double quantisation stores the
magnitudes in 8 bits (Dettmers et al. 2023, "QLoRA", arXiv 2305.14314, section 3).
8 bits: one scale per row of the weight and per token of the input, w ≈ round(127 w / max|w_row|) (Dettmers et al.
2022, "LLM.int8()", arXiv 2208.07339).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import QuantizerTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.patterns import as_regex, refuse_unknown
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@plugin
class Bitsandbytes:
    """NF4, FP4 and 8-bit weights by bitsandbytes, quantised while the model is loaded (QLoRA, LLM.int8)."""

    also_called: ClassVar[tuple[str, ...]] = ("bnb", "4bit", "8bit", "nf4", "qlora")
    known_as: ClassVar[dict[str, str]] = {
        **{"load_in_4bit": "bits=4", "load_in_8bit": "bits=8", "quantization_bit": "bits", "quant_bits": "bits"},
        **{"bnb_4bit_quant_type": "quant_type", "bnb_4bit_use_double_quant": "double_quant"},
    }

    bits: Literal[4, 8] = 4  # bits per weight
    quant_type: Literal["nf4", "fp4"] = "nf4"  # the 16 values of a 4-bit weight
    double_quant: bool = True  # 4 bits: store the scales in 8 bits too, which saves 0.37 bits per weight
    # 4 bits: numbers that hold the packed bits; trainer.fsdp shards only weights that look like the model's other ones
    storage: Literal["uint8", "bfloat16", "float16", "float32"] = "uint8"
    # 8 bits: columns of the input with a magnitude above this are computed in 16 bits (LLM.int8); 0 computes all in 8
    threshold: Annotated[float, at_least(0, most=1_000_000)] = 6.0
    # 4 bits on a CPU: repack for a kernel without gradients, for chat only: about 3 times faster, scales in bfloat16
    cpu_kernel: bool = False
    # layers that keep their numbers, beside the output head: names, parts of dotted names, or patterns with `*`
    skip_modules: list[str] = []
    # parts of a model that also sees or hears whose layers are stored in few bits: language, vision, audio (its towers;
    # `tower` is each of them), projector; the others keep their numbers
    towers: list[Part] = ["language"]

    _stored: bool = False  # whether the model's files are in few bits already
    _left: list[str] = []  # what the parts that `towers` does not name are called in the class of the base

    @property
    def traits(self) -> QuantizerTraits:
        norms = self.bits == 4  # the layer of 8 bits shows adapters no weight
        spreads = ("fsdp",) if self.bits == 4 else ()  # its scales are parts of the weight, of which a piece has none
        devices = ("cpu", "cuda")
        return QuantizerTraits(bits=(4, 8), devices=devices, weight_norms=norms, spreads=spreads, method="bitsandbytes")

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = towers_problems(self.towers, "quantizer.towers")
        if self.bits == 8 and (self.quant_type, self.storage) != ("nf4", "uint8"):
            message = "quantizer.quant_type and quantizer.storage are of 4-bit weights; quantizer.bits=8 ignores them."
            problems.append(Problem("quantizer.bits", message, "quantizer.bits=4", severity="warning"))
        if self.cpu_kernel and plan.command == "train":
            message = "quantizer.cpu_kernel=true passes no gradient, so that nothing below a layer could learn from it."
            problems.append(Problem("quantizer.cpu_kernel", message, "only for chat: leave it out here"))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_bits

        return estimate_bits(estimate, self.bits, self.double_quant, self.skip_modules, self.towers)

    @hookimpl
    def quantization_config(self, source: ModelSource) -> Any:
        """The `BitsAndBytesConfig` with which transformers replaces the linear layers; it computes in the precision.

        Raises: TunesmithError when the model is stored in few bits of another kind.
        """
        from transformers import BitsAndBytesConfig
        from tunesmith_library_weights.towers import left_out_of_folder

        stored = _stored_as(source)
        self._stored = stored is not None
        if stored:
            announce("quantizer", "the bits that the model is stored in", f"{source.address}/config.json")
        self._left = left_out_of_folder(source.path, self.towers)
        left = [*map(as_regex, self.skip_modules), *map(re.escape, self._left)]
        skip = ["lm_head", *left] if left else None  # None: the head alone
        if self.bits == 8:
            return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=self.threshold, llm_int8_skip_modules=skip)
        if not stored:
            announce("quantizer", f"{self.quant_type}, computed in {source.precision}", "the run's precision")
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=_DTYPES[source.precision],
            bnb_4bit_quant_storage=self.storage,
            llm_int8_skip_modules=skip,
        )

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        """Let fused experts be quantised while they are read, as transformers does it with linear layers."""
        from .experts import packed_while_read

        with packed_while_read(self._pack(), [*self.skip_modules, *self._left]):
            return (yield)

    def _pack(self) -> Any:
        from .experts import packing

        return packing(self.bits, self.quant_type, self.double_quant, self.storage)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Quantise fused experts that are in full still, and say what share of the model is in few bits.

        Keep 4-bit weights on a CPU in the layout in which they were quantised, unless `cpu_kernel` is wanted.

        On a CPU with avx512_bf16, bitsandbytes repacks a layer when it is first evaluated, for a kernel that knows no
        gradient and rounds the scales to bfloat16: whatever is trained after an evaluation would get wrong gradients,
        and dequantising would give wrong weights.

        Raises: TunesmithError when `skip_modules` names no layer of the model, or `towers` no part of it.
        """
        from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
        from torch.nn import Linear
        from tunesmith_library_weights.dequantising import dequantise, is_wanted
        from tunesmith_library_weights.experts import fused_experts
        from tunesmith_library_weights.mapped import copy_out
        from tunesmith_library_weights.packing import pack_experts
        from tunesmith_library_weights.shares import say_bits
        from tunesmith_library_weights.towers import left_out

        from .full import weight_of_4_bits, weight_of_8_bits

        if is_wanted():
            return dequantise(model, {Linear4bit: weight_of_4_bits, Linear8bitLt: weight_of_8_bits})
        linear = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
        named = [*linear, *(item.name for item in fused_experts(model))]
        refuse_unknown("quantizer.skip_modules", self.skip_modules, named, "layer")
        pack_experts(model, [*self.skip_modules, *left_out(model, self.towers)], self._pack())
        say_bits(model, f"in {self.bits} bits", (Linear4bit, Linear8bitLt))
        for module in linear.values():
            if isinstance(module, Linear4bit):
                module.support_avx512bf16_for_cpu = self.cpu_kernel and module.support_avx512bf16_for_cpu
        if self.bits == 8:  # every layer would say at every call that it casts bfloat16 inputs to float16
            logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return model if self._stored else copy_out(model)


def _stored_as(source: ModelSource) -> str | None:
    """How the model's weights are stored: None for full ones, else `bitsandbytes`."""
    file = source.path / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    method: str | None = (config.get("quantization_config") or {}).get("quant_method")
    if method not in (None, "bitsandbytes"):
        raise TunesmithError(
            f"{source.address} is stored in few bits already ({method}), which quantizer=bitsandbytes cannot read.\n"
            "  leave the quantizer out, or take the model's 16-bit version"
        )
    return method
