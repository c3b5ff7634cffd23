"""What made a run: distributions and libraries with their versions, as lines that pip can install."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

_LIBRARIES = (
    *("torch", "transformers", "peft", "trl", "datasets", "accelerate", "tokenizers", "safetensors"),
    *("pluggy", "omegaconf"),
)


def requirements(gave: Sequence[tuple[str, str]]) -> list[str]:
    """`name==version` lines, those of the distributions first, then of the libraries that results depend on.

    Args:
        gave: a distribution and what it gave, which stands behind its version as a comment; empty for nothing.
    """
    given: dict[str, list[str]] = {}
    for distribution, label in gave:
        given.setdefault(distribution, []).extend([label] if label else [])
    lines = []
    for name in (*sorted(given), *_LIBRARIES):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            comment = f"  # {' '.join(sorted(given[name]))}" if given.get(name) else ""
            lines.append(f"{name}=={importlib.metadata.version(name)}{comment}")
    return lines


def locked(run: Path | None, label: str) -> str:
    """What the lock file of a run says of the plugin that made it; "" outside a run, or without a word of it.

    Args:
        run: its folder.
        label: of the plugin, `adapter=lora`.
    """
    lock = run / "plugins.lock" if run else None
    lines = lock.read_text(encoding="utf-8", errors="replace").splitlines() if lock and lock.is_file() else []
    for line in lines:
        requirement, _, plugins = line.partition("#")
        if label in plugins.split() and requirement.strip():
            return f"this run was made with {requirement.strip()}: pip install -r {lock}"
    return ""
