"""In which numbers a model's files hold its weights, read from the heads of the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

Precision = Literal["bf16", "fp16", "fp32"]

_NAMES: dict[str, Precision] = {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}
_WHOLE = ("modules_to_save", "trainable_token_indices")  # of an adapter: weights that it holds in more digits
_LONGEST = 100_000_000  # bytes of a head, as safetensors has it


def held_precision(plan: Any, folder: Path, adapter: Path | None) -> Precision | None:
    """The numbers that a plan's export holds its model in; None where it is no export, or stored in few bits anyway."""
    return None if plan.command != "export" or plan.uses("quantizer") else stored_precision(folder, adapter)


def stored_precision(folder: Path, adapter: Path | None) -> Precision | None:
    """The numbers that a model can be held in without loss while it is merged and written.

    Args:
        adapter: the folder of one that is put over it.

    Returns: None where its matrices are of several kinds, or parts of it are trained whole: float32 then.
    """
    said = _read(adapter / "adapter_config.json") if adapter else {}
    if any(said.get(name) for name in _WHOLE) or said.get("bias", "none") != "none":
        return None
    kinds = {dtype for file in folder.glob("*.safetensors") for dtype in _of_matrices(file, every=adapter is None)}
    return _NAMES.get(kinds.pop()) if len(kinds) == 1 else None


def _of_matrices(file: Path, every: bool) -> Iterator[str]:
    """The numbers of the tensors in a file; of those with one axis only where `every` counts."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(length)) if length <= _LONGEST else {}
    except (OSError, ValueError):
        return
    for name, tensor in head.items():
        if name != "__metadata__" and (every or len(tensor["shape"]) > 1):
            yield tensor["dtype"]


def _read(file: Path) -> dict[str, Any]:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever loads it says what is wrong
        return {}
    return held if isinstance(held, dict) else {}
