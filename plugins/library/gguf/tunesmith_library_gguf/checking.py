"""Whether a file holds every tensor of the model, with its values: what no conversation of the gate would meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tunesmith_library_publishing.inventory import Reader

from tunesmith_library_gguf.kinds import ERRORS
from tunesmith_library_gguf.parameters import Value
from tunesmith_library_gguf.tensors import Array
from tunesmith_library_gguf.writing import Model, can_be_rounded, plain

_ROWS = 1024  # of a tensor, that are compared at once


@dataclass(frozen=True)
class Held:
    """What a file holds."""

    types: dict[str, int]  # how many tensors are in which numbers, by ggml's names
    matrices: dict[str, int]  # of these, how many are matrices that can be rounded
    experts: dict[str, int]  # of these, how many hold the experts of a layer
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"held": sum(self.types.values()), "types": self.types}
        return found | ({"experts": self.experts} if self.experts else {})


def held(file: Path, model: Model | None) -> Held:
    """Count the tensors of a file, and compare them and its metadata with the model's.

    Args:
        model: what was to be written; None of a file of another writer, of which the tensors are only counted.
    """
    reader = gguf.GGUFReader(file)
    there = {tensor.name: tensor for tensor in reader.tensors}
    roundable = [tensor for tensor in reader.tensors if len(tensor.shape) > 1 and can_be_rounded(tensor.name)]
    problems: list[str] = []
    if model is not None:
        wanted = {tensor.name for tensor in model.layout.tensors}
        problems += _named("are missing in the file", [name for name in wanted if name not in there])
        problems += _named("are none of the model's", [name for name in there if name not in wanted])
        problems += [*_wrong(there, model), *_unsaid(reader, model)]
    experts = [tensor for tensor in roundable if len(tensor.shape) == 3]
    return Held(_counted(reader.tensors), _counted(roundable), _counted(experts), tuple(problems))


def _counted(tensors: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(tensor.tensor_type.name for tensor in tensors))


def _unsaid(reader: gguf.GGUFReader, model: Model) -> Iterator[str]:
    """The metadata that is another than was to be written."""
    for key, value in model.metadata.items():
        field = reader.get_field(key)
        found = None if field is None else field.contents()
        if not _same(value, found):
            yield f"{key} is another in the file: {_first(value, found)}"


def _same(value: Value, found: Any) -> bool:
    if isinstance(value, float):
        return bool(np.float32(value) == found)
    if isinstance(value, list) and value and isinstance(value[0], float):
        return isinstance(found, list) and np.array_equal(np.asarray(value, np.float32), np.asarray(found, np.float32))
    return bool(value == found)


def _first(value: Value, found: Any) -> str:
    """What differs first."""
    if isinstance(value, list) and isinstance(found, list) and len(value) == len(found):
        at = next(at for at, (one, other) in enumerate(zip(value, found, strict=True)) if one != other)
        return f"item {at} is {found[at]!r}, and was to be {value[at]!r}"
    return f"{str(found)[:60]!r}, and was to be {str(value)[:60]!r}"


def _named(what: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} tensors {what}, such as {names[0]}"


def _wrong(there: dict[str, Any], model: Model) -> Iterator[str]:
    wrong = []
    with Reader(model.stored) as read:
        for tensor in model.layout.tensors:
            if tensor.name in there and not _agrees(there[tensor.name], plain(tensor, read)):
                wrong.append(tensor.name)
    yield from _named("have other values than rounding makes of the model's", wrong)


def _agrees(found: Any, expected: Array) -> bool:
    """Whether a tensor of a file is what its numbers can hold of the model's, in each part of its rows."""
    limit = ERRORS.get(found.tensor_type.name, 1.0)
    shape = tuple(int(size) for size in reversed(found.shape))
    if int(np.prod(shape)) != expected.size or shape[-1] != expected.shape[-1]:
        return False
    rows = expected.reshape(-1, expected.shape[-1])
    data = found.data.reshape(rows.shape[0], -1)
    for start in range(0, rows.shape[0], _ROWS):
        wanted = rows[start : start + _ROWS]
        got = gguf.quants.dequantize(data[start : start + _ROWS], found.tensor_type)
        if limit == 0.0:
            if not np.array_equal(got, wanted):
                return False
        elif not _near(got, wanted, limit):
            return False
    return True


def _near(found: Array, wanted: Array, limit: float) -> bool:
    """Row by row, so that one wrong row among many is seen; each against the size of its own values."""
    error = np.sqrt(np.mean(np.square(found - wanted, dtype=np.float64), axis=-1))
    size = np.sqrt(np.mean(np.square(wanted, dtype=np.float64), axis=-1))
    return bool(np.all(error <= limit * size + 1e-7))
