"""In which numbers this machine computes: bf16 wherever the hardware has instructions for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.types import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""torch's name of each precision."""

# As /proc/cpuinfo and torch spell the bf16 instructions of x86 and of ARM.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


def resolve(requested: str) -> Precision:
    """Decide between bf16, fp16 and fp32.

    Raises: TunesmithError when the hardware cannot compute in what was asked for.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = "cpu" if accelerator is None else accelerator.type
    if requested == "auto":
        chosen: Precision = "bf16" if has_bf16(kind) else "fp32"
        why = f"this {kind} computes in it" if chosen == "bf16" else f"no bf16 on this {kind}"
        announce("precision", chosen, why)
        return chosen
    if requested == "fp32":
        return "fp32"
    if requested == "bf16":
        if kind == "cuda" and not has_bf16(kind):
            name = torch.cuda.get_device_name()
            raise TunesmithError(f"precision=bf16: {name} has no bf16 (from Ampere on).\n  use precision=fp16 or fp32")
        if not has_bf16(kind):
            logger.warning("precision=bf16: this %s only emulates it, which is slow; precision=fp32 is faster", kind)
        return "bf16"
    if requested == "fp16":
        if kind == "cpu":
            raise TunesmithError("precision=fp16: it needs a GPU, and there is none.\n  use precision=auto")
        return "fp16"
    raise TunesmithError(f"precision={requested}: unknown.\n  {choices(requested, ('auto', 'bf16', 'fp16', 'fp32'))}")


def has_bf16(kind: str) -> bool:
    """Whether a type of device has instructions for bf16; `kind` as torch names it: cpu, cuda, mps, …"""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        return any(_cpu_capabilities().get(name) for name in _BF16_INSTRUCTIONS)
    return kind != "mps"


def _cpu_capabilities() -> Mapping[str, Any]:
    """The CPU's instruction sets by name, from torch (2.13 on), else from the kernel of the operating system."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    cpuinfo = Path("/proc/cpuinfo")
    return dict.fromkeys(cpuinfo.read_text().split(), True) if cpuinfo.is_file() else {}
