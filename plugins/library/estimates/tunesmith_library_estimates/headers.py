"""The weights of a model as its safetensors files have them, by their headers alone; without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.estimation import Kind, Weight

_FLOATS = {"F64", "F32", "F16", "BF16"}  # that are loaded in the numbers that are computed in
_BITS = {"I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
_MOST = 100_000_000  # bytes of a header, as the format says


def weights_of_files(folder: Path, bits: int) -> tuple[Weight, ...]:
    """All weights in a folder's safetensors files, with the names and shapes that they are stored in.

    Args:
        bits: of a floating-point number in memory; others stay as they are.
    """
    found: dict[str, Weight] = {}
    for file in sorted(folder.glob("*.safetensors")):
        for name, told in _header(file):
            shape = tuple(told["shape"])
            own = bits if told["dtype"] in _FLOATS else _BITS.get(told["dtype"], 16)
            found[name] = Weight(name, shape, _kind(name, shape), own)
    return tuple(found.values())


def _header(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > _MOST:
            return
        try:
            told = json.loads(opened.read(size))
        except ValueError:  # it is damaged, which loading will say
            return
    yield from ((name, entry) for name, entry in told.items() if name != "__metadata__")


def _kind(name: str, shape: tuple[int, ...]) -> Kind:
    parts = name.removesuffix(".weight").split(".")
    if len(shape) == 3 and "experts" in parts:
        return "experts"
    if re.search(r"norm|ln_|\bln\b", parts[-1].lower()) or (len(parts) > 1 and "norm" in parts[-2].lower()):
        return "norm"
    if len(shape) != 2 or not name.endswith(".weight"):
        return "other"
    if parts[-1] in ("lm_head", "output", "embed_out"):
        return "head"
    return "embedding" if re.search(r"emb|wte|wpe", parts[-1].lower()) else "linear"
