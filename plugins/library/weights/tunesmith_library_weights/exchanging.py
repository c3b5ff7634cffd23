"""Weights that are exchanged while an engine runs that reads them from files, as it read the model's.

Files, and not memory, since such an engine computes in processes of its own, on as many devices as it is told, and
places there what it reads. They are in memory where the system has files in memory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices

_PART = 2 * 2**30  # bytes of a file
_MEMORY = Path("/dev/shm")  # where files are in memory
_KEPT = ("config.json", "generation_config.json")


class Weights:
    """What a model's folder holds, and what was put in its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exchanged: dict[str, Any] = {}

    @property
    def exchanged(self) -> bool:
        """Whether there are others than those of the files."""
        return bool(self._exchanged)

    def forget(self) -> None:
        """The files' weights are the engine's again."""
        self._exchanged = {}

    @contextmanager
    def written(self, weights: Iterable[tuple[str, Any]]) -> Iterator[Path]:
        """A folder with the weights of the files, and in their places those that are given, or were before.

        Raises: TunesmithError for a name or a shape that the model does not have.
        """
        shapes, tied = _shapes(self._folder), _tied(self._folder)
        for name, tensor in weights:
            if name in tied and name not in shapes:  # it is another of them
                continue
            _refuse_other(name, tuple(tensor.shape), shapes)
            self._exchanged[name] = tensor.detach().to("cpu", copy=True)
        size = sum(file.stat().st_size for file in self._folder.glob("*.safetensors"))
        room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * size
        target = Path(tempfile.mkdtemp(prefix="tunesmith-weights-", dir=_MEMORY if room else None))
        try:
            self._write(target)
            yield target
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _write(self, target: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        part: dict[str, Any] = {}
        count = held = 0
        for file in sorted(self._folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  (it is no mapping)
                    if held > _PART:
                        save_file(part, target / f"part-{count}.safetensors", {"format": "pt"})
                        part, count, held = {}, count + 1, 0
                    found = self._exchanged.get(name)
                    own = opened.get_tensor(name) if found is None else found
                    part[name] = own.contiguous()
                    held += own.numel() * own.element_size()
        save_file(part, target / f"part-{count}.safetensors", {"format": "pt"})
        for name in _KEPT:
            if (self._folder / name).is_file():
                shutil.copy(self._folder / name, target / name)


def _shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    """The weights that a model's files hold.

    Raises: TunesmithError for files of another form.
    """
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    if not found:
        raise TunesmithError(f"{folder} holds no safetensors, in whose places other weights can be put")
    return found


def _tied(folder: Path) -> frozenset[str]:
    """Names of weights that are others under a second name."""
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ties = said.get("tie_word_embeddings", said.get("text_config", {}).get("tie_word_embeddings", False))
    return frozenset({"lm_head.weight"} if ties else ())


def _refuse_other(name: str, shape: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if name not in shapes:
        raise TunesmithError(f"the model has no weight {name}.\n  {choices(name, shapes, 'it has')}")
    if shape != shapes[name]:
        raise TunesmithError(f"{name} has the shape {shape}; the model's is {shapes[name]}")
