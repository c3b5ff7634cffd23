"""Whether a run has its result, whatever its process said at its end."""

from __future__ import annotations

import os
from pathlib import Path

_DESCRIBED = ("adapter_config.json", "config.json")
_WEIGHTS = (".safetensors", ".bin")


def has_result(folder: Path, since: float) -> bool:
    """Whether a model or an adapter was saved in a run's folder since a time; what is there is never half of one."""
    try:
        written = {entry.name for entry in os.scandir(folder) if entry.stat().st_mtime >= since}
    except OSError:
        return False
    return not written.isdisjoint(_DESCRIBED) and any(name.endswith(_WEIGHTS) for name in written)
