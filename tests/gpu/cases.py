"""The figures: what is run, on which shape, and for how long at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LORA: dict[str, Any] = {"adapter": {"name": "lora", "rank": 16}}
FULL: dict[str, Any] = {"adapter": {"name": "full", "dtype": "bfloat16"}}
AMP: dict[str, Any] = {"adapter": {"name": "full"}}
COMPILED: dict[str, Any] = {"trainer": {"torch_compile": True}}
EAGER: dict[str, Any] = {"trainer": {"torch_compile": True, "torch_compile_backend": "eager"}}


def few_bits(bits: int) -> dict[str, Any]:
    """QLoRA; in two bits by HQQ, for bitsandbytes has none."""
    return {**LORA, "quantizer": {"name": "bitsandbytes" if bits > 2 else "hqq", "bits": bits}}


@dataclass(frozen=True)
class Case:
    """One figure: ours, and beside it that of the programs that people would take otherwise."""

    name: str
    kind: str  # sft, memory, dpo or generation
    shape: str
    ours: dict[str, Any] = field(default_factory=dict)  # configuration
    # how transformers' Trainer and peft do the same: full, amp, lora, 8, 4 (bits); None where they do not
    theirs: str | None = None
    batch: int = 8  # examples in a forward pass
    seconds: float = 45.0  # for each of the two
    accumulation: int = 1  # of these batches in a step
    dry: dict[str, Any] = field(default_factory=dict)  # what ours has on the CPU, over the rest


CASES = (
    Case("sft 0.5B full", "sft", "0.5B", FULL, "full", 16),
    Case("sft 0.5B lora", "sft", "0.5B", LORA, "lora", 16),
    Case("sft 0.5B qlora", "sft", "0.5B", few_bits(4), "4", 16),
    Case("sft 1.5B full", "sft", "1.5B", FULL, "full"),
    Case("sft 1.5B lora", "sft", "1.5B", LORA, "lora"),
    Case("sft 1.5B qlora", "sft", "1.5B", few_bits(4), "4"),
    Case("sft 0.5B lora, 16 of 1", "sft", "0.5B", LORA, "lora", 1, accumulation=16),
    Case("sft 0.5B lora, liger", "sft", "0.5B", {**LORA, "patch": ["liger"]}, None, 16, dry={"patch": []}),
    Case("sft 0.5B lora, compiled", "sft", "0.5B", {**LORA, **COMPILED}, None, 16, seconds=90.0, dry=EAGER),
    Case("sft 8B lora", "sft", "8B", LORA, "lora", 4, 60.0),
    Case("sft 8B qlora", "sft", "8B", few_bits(4), "4", 4, 75.0),
    Case("sft 8B full", "sft", "8B", FULL, "full", 1, 60.0),
    Case("dpo 1.5B lora", "dpo", "1.5B", LORA, "lora", 4),
    Case("generation 1.5B", "generation", "1.5B", {}, "generate", 64),
    Case("memory 7B lora", "memory", "7B", LORA, "lora", 1),
    Case("memory 7B qlora 8 bits", "memory", "7B", few_bits(8), "8", 1, 60.0),
    Case("memory 7B qlora 4 bits", "memory", "7B", few_bits(4), "4", 1, 60.0),
    Case("memory 7B qlora 2 bits", "memory", "7B", few_bits(2), None, 1, 90.0),
    Case("memory 7B galore", "memory", "7B", {**FULL, "optimizer": {"name": "galore", "rank": 32}}, None, 1, 60.0),
    Case("memory 7B apollo", "memory", "7B", {**FULL, "optimizer": {"name": "apollo", "rank": 32}}, None, 1, 60.0),
    Case("memory 7B badam", "memory", "7B", {**FULL, "optimizer": {"name": "badam"}}, None, 1, 60.0),
    Case("memory 7B full bf16", "memory", "7B", FULL, "full", 1, 60.0),
    Case("memory 7B full amp", "memory", "7B", AMP, "amp", 1, 60.0),
)
