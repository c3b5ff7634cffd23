"""Memory that runs out: how it is told from other errors, given back, and what a run that ends by it says."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_training import checkpoints

# what libraries without a kind of error of their own for it write
_SAID = (
    "out of memory",  # CUDA, HIP and MPS
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HIPBLAS_STATUS_ALLOC_FAILED",
)


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, of the device or of the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def first_line(error: BaseException) -> str:
    """What was asked for and not there, in the allocator's words: its first line, without C++ places."""
    lines = [line.partition("] ")[2] if line.startswith("[") else line for line in str(error).splitlines() if line]
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def give_back(device: torch.device) -> None:
    """Free what nobody refers to any more, and give what the allocator keeps back to the device."""
    gc.collect()
    if device.type != "cpu":
        empty: Any = getattr(torch.get_device_module(device), "empty_cache", None)
        if empty is not None:
            empty()


class OutOfMemory(TunesmithError):
    """The end of a run that has no memory left, and nothing to do about it by itself."""


def ended(folder: Path, error: BaseException, why: str, change: str = "") -> OutOfMemory:
    """The error that ends a run.

    Args:
        folder: of the run.
        why: it does not go on by itself.
        change: the override with which it needs less; empty where the trainer has none.
    """
    kept = checkpoints.complete(folder)
    after = f"go on after {kept[-1].name}" if kept else "begin again"
    resume = "resume=true" if kept else "overwrite=true"
    lines = [
        f"There is no memory left: {first_line(error)}.",
        f"  The run does not go on by itself: {why}.",
        f"  {after} with less: tunesmith train {folder} {resume} {change or 'CHANGE'}",
        f"  tunesmith plan {folder} tells what takes the memory, and each change that would make it fit",
    ]
    return OutOfMemory("\n".join(lines))
