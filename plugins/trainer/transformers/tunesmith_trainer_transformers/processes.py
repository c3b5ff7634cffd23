"""The group in which processes add up their numbers, and the end of all groups."""

from __future__ import annotations

import atexit
import gc

import torch.distributed as dist


def numbers_group() -> dist.ProcessGroup:
    """A new group of all processes for numbers on the CPU, so that none waits for its device."""
    atexit.register(_leave)
    return dist.new_group(backend="gloo")


def _leave() -> None:
    """Close every group before the interpreter ends: a thread of theirs that outlives it aborts a finished run."""
    if dist.is_initialized():
        dist.destroy_process_group()
    gc.collect()  # trainer and wrapped model refer to each other, and hold the groups
