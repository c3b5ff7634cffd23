"""The processes of one run, for what they do together outside a trainer: started by torchrun, which sets RANK and
WORLD_SIZE. A run of one process needs no group and pays nothing."""

from __future__ import annotations

import atexit
import gc
import os
from typing import Any

import torch
import torch.distributed as dist


def count() -> int:
    """How many processes the run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


def join(use_cpu: bool) -> None:
    """Find together, each process on an accelerator of its own unless `use_cpu`; a trainer keeps to the same group."""
    if count() == 1 or dist.is_initialized():
        return
    accelerated = not use_cpu and torch.accelerator.is_available()
    if accelerated:
        torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if accelerated and torch.cuda.is_available() else "gloo")
    atexit.register(_leave)


def gathered(item: Any) -> list[Any]:
    """The items of all processes, in their order; they are pickled. Call `join` before."""
    if count() == 1:
        return [item]
    items: list[Any] = [None] * count()
    dist.all_gather_object(items, item)
    return items


def _leave() -> None:
    """Close every group before the interpreter ends: a thread of theirs that outlives it aborts a finished run."""
    if dist.is_initialized():
        dist.destroy_process_group()
    gc.collect()
