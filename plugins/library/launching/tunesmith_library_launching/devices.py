"""The GPUs that processes of this machine may use, counted without loading torch."""

from __future__ import annotations

import os
import re
from pathlib import Path


def visible_gpus(devices: Path = Path("/dev")) -> int:
    """How many NVIDIA GPUs this process may use; 0 also where none can be counted like this.

    `CUDA_VISIBLE_DEVICES` is read as CUDA does: what stands behind a number below 0 does not count.
    """
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
