"""The tensors of a model's folder, read from the heads of its safetensors files, and what they were before training.

A run that trains a whole model writes beside it in which numbers the base held each tensor, so that an export, for
which the base need not be at hand, can round to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tunesmith import TunesmithError

RECORD = "base_weights.json"
"""The file in which a run says what its base held."""

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    file: Path
    dtype: str  # as safetensors names it: BF16
    shape: tuple[int, ...]


def tensors_of(folder: Path) -> dict[str, Stored]:
    """The tensors of the model in a folder by name, of the files that transformers loads; no tensor is read.

    Raises: TunesmithError when a file cannot be read, or lacks a tensor that the index says it holds.
    """
    indexed = _indexed(folder)
    single = [_SINGLE] if (folder / _SINGLE).is_file() else []
    files = single or sorted(set(indexed.values())) or sorted(file.name for file in folder.glob("*.safetensors"))
    found: dict[str, Stored] = {}
    for name in files:
        try:
            with safe_open(folder / name, "pt") as weights:
                for tensor in weights.keys():  # noqa: SIM118 (not a mapping)
                    part = weights.get_slice(tensor)
                    found[tensor] = Stored(folder / name, part.get_dtype(), tuple(part.get_shape()))
        except Exception as error:  # safetensors raises an error of its own, and OSError
            raise TunesmithError(f"{folder / name} cannot be read: {error}") from error
    missing = [tensor for tensor in indexed if tensor not in found]
    if missing:
        raise TunesmithError(
            f"{folder / _INDEX} names {len(missing)} tensors that its files do not hold, such as {missing[0]}.\n"
            "  the model's files are not complete: fetch them again"
        )
    return found


def _indexed(folder: Path) -> dict[str, str]:
    """The file of each tensor as the index says it; {} for a model in one file."""
    file = folder / _INDEX
    if (folder / _SINGLE).is_file() or not file.is_file():
        return {}
    named: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
    return named


class Reader:
    """Reads tensors of a folder one at a time; a context manager that keeps its files open."""

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self._stored, self._open, self._files = stored, ExitStack(), dict[Path, Any]()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.clear()
        self._open.close()

    def __call__(self, name: str) -> torch.Tensor:
        """Raises: TunesmithError when the file is gone or damaged."""
        file = self._stored[name].file
        try:
            if file not in self._files:
                self._files[file] = self._open.enter_context(safe_open(file, "pt"))
            tensor: torch.Tensor = self._files[file].get_tensor(name)
        except Exception as error:  # safetensors raises an error of its own, and OSError
            raise TunesmithError(f"{name} cannot be read from {file}: {error}") from error
        return tensor


@dataclass(frozen=True)
class Numbers:
    """In which numbers a base holds its tensors."""

    common: str  # of most of them, as torch names it: bfloat16
    tensors: Mapping[str, str]  # of each one, by name, as safetensors names them

    def of(self, name: str) -> torch.dtype:
        """A tensor's numbers, those of most tensors for one that the base does not have."""
        common: torch.dtype = getattr(torch, self.common)
        return _DTYPES.get(self.tensors.get(name, ""), common)


def numbers_of(folder: Path) -> Numbers:
    """The numbers of a base's tensors; for a run's folder those of the base that it trained.

    `common` is what the configuration says, else the numbers of most of the values.
    """
    record = folder / RECORD
    if record.is_file():
        said = json.loads(record.read_text(encoding="utf-8"))
        return Numbers(said["dtype"], said["tensors"])
    stored = tensors_of(folder)
    return Numbers(_configured(folder) or most(stored), {name: tensor.dtype for name, tensor in stored.items()})


def size_in(numbers: Numbers, stored: Mapping[str, Stored]) -> int:
    """How many bytes tensors take on a disk in these numbers; of few bits, which stand for more, what they take now."""
    return sum(torch.Size(tensor.shape).numel() * _width(numbers, name, tensor) for name, tensor in stored.items())


def _width(numbers: Numbers, name: str, tensor: Stored) -> int:
    bits = re.search(r"\d+", tensor.dtype)
    return numbers.of(name).itemsize if tensor.dtype in _DTYPES else int(bits[0]) // 8 if bits else 1


def record_numbers(folder: Path, numbers: Numbers) -> None:
    """Write what `numbers_of` gives for this folder from now on."""
    said = {"dtype": numbers.common, "tensors": dict(numbers.tensors)}
    (folder / RECORD).write_text(json.dumps(said, indent=0) + "\n", encoding="utf-8")


def read_json(file: Path) -> dict[str, Any]:
    """What a JSON file holds, {} where there is none."""
    held: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return held


def _configured(folder: Path) -> str | None:
    known = {str(dtype).removeprefix("torch.") for dtype in _DTYPES.values()}
    return next((dtype for dtype in _said(read_json(folder / "config.json")) if dtype in known), None)


def _said(config: Mapping[str, Any]) -> Iterator[str]:
    for part in (config, config.get("text_config") or {}):
        yield str(part.get("dtype") or part.get("torch_dtype"))


def most(stored: Mapping[str, Stored]) -> str:
    """The floating-point numbers of most values of these tensors, as torch names them."""
    counts: dict[str, int] = {}
    for tensor in stored.values():
        if tensor.dtype in _DTYPES:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + torch.Size(tensor.shape).numel()
    return str(_DTYPES[max(counts, key=counts.__getitem__)]).removeprefix("torch.") if counts else "float32"
