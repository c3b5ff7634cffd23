"""What goes wrong with an artefact on its way to the disk, for tests of gates: one tensor, one token, one character.

Each function gives a `Break`, which damages a folder in one way; `written_by` applies it as soon as the artefact is
there, before whoever wrote it looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

Break = Callable[[Path], None]
"""Damages the artefact in a folder."""


@dataclass(frozen=True)
class Damage:
    """One way in which an artefact is broken, and how the gate has to name it."""

    happen: Break
    named: str  # regular expression, found in the error


def flipped(name: str, by: float = 0.25) -> Break:
    """Another value in the middle of the first tensor of the safetensors files whose name has this in it."""

    def happen(weights: dict[str, Any], found: str) -> None:
        flat = weights[found].view(-1)
        flat[len(flat) // 2] += by

    return _of_weights(name, happen)


def lost(name: str) -> Break:
    """The first tensor of the safetensors files whose name has this in it is not there."""
    return _of_weights(name, lambda weights, found: weights.pop(found))


def renamed(name: str, prefix: str = "model.") -> Break:
    """The first tensor of the safetensors files whose name has this in it has a prefix before that."""

    def happen(weights: dict[str, Any], found: str) -> None:
        weights[prefix + found] = weights.pop(found)

    return _of_weights(name, happen)


def other_values(file: str, **values: Any) -> Break:
    """A JSON file of the folder has these values."""

    def happen(folder: Path) -> None:
        said = json.loads((folder / file).read_text(encoding="utf-8"))
        (folder / file).write_text(json.dumps({**said, **values}), encoding="utf-8")

    return happen


def other_text(file: str, old: str, new: str) -> Break:
    """The first `old` in a file of the folder is `new`."""

    def happen(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return happen


def other_bytes(pattern: str, at: float, count: int = 4) -> Break:
    """Some bytes of the first file that fits a pattern are inverted.

    Args:
        at: where, as a share of the file's length.
    """

    def happen(folder: Path) -> None:
        file = next(iter(sorted(folder.glob(pattern))))
        held = bytearray(file.read_bytes())
        begin = int(len(held) * at)
        held[begin : begin + count] = bytes(byte ^ 0xFF for byte in held[begin : begin + count])
        file.write_bytes(held)

    return happen


def dropped(file: str) -> Break:
    """A file of the folder is not there."""
    return lambda folder: (folder / file).unlink()


@contextmanager
def written_by(owner: Any, name: str, happen: Break, folder: Callable[..., Path]) -> Iterator[None]:
    """Damage what a function writes, as soon as it is done; the function is `owner.name` while the block lasts.

    Args:
        folder: given what the function is given, where it writes to.
    """
    write = getattr(owner, name)

    def broken(*given: Any, **options: Any) -> Any:
        result = write(*given, **options)
        happen(folder(*given, **options))
        return result

    with mock.patch.object(owner, name, broken):
        yield


def _of_weights(name: str, change: Callable[[dict[str, Any], str], Any]) -> Break:
    def happen(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        for file in sorted(folder.glob("*.safetensors")):
            weights = {key: weight.clone() for key, weight in load_file(file).items()}
            found = next((key for key in weights if name in key), None)
            if found is not None:
                change(weights, found)
                save_file(weights, file, {"format": "pt"})
                return
        raise AssertionError(f"{folder} has no tensor {name}")

    return happen
