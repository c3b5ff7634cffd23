"""The GPUs that processes of this machine may use, counted without loading torch."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_ELSEWHERE = ContextVar("_ELSEWHERE", default=False)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """While entered, the GPUs of this machine are not counted: a job is written here that runs on others."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def visible_gpus(devices: Path = Path("/dev")) -> int:
    """How many NVIDIA GPUs this process may use; 0 also where none can be counted like this.

    `CUDA_VISIBLE_DEVICES` is read as CUDA does: what stands behind a number below 0 does not count.
    """
    if _ELSEWHERE.get():
        return 0
    there = sum(1 for file in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", file.name))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not there:
        return there
    names: list[str] = []
    for name in chosen.split(","):
        name = name.strip()
        if not name or name.startswith("-"):
            break
        names.append(name)
    return min(len(names), there) if all(name.isdigit() for name in names) else len(names)
