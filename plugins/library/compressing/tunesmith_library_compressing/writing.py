"""The folder of a model in few bits: the merged one's, with other tensors in the place of the rounded weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from tunesmith_library_proving.gate import REPORT
from tunesmith_library_publishing.inventory import read_json, tensors_of
from tunesmith_library_publishing.weights import write

from tunesmith_library_compressing.layers import Layers
from tunesmith_library_compressing.methods import Stored

_OF_WEIGHTS = (".safetensors", ".index.json")
_ANEW = ("config.json", "README.md", REPORT)


def tensors_to_write(stored: Stored, layers: Layers) -> dict[str, torch.Tensor]:
    """What is written in place of the merged folder's tensors, by the names of files."""
    found = {layers.files[name]: tensor for name, tensor in stored.changed.items()}
    for name, parts in stored.layers.items():
        place = layers.files[f"{name}.weight"].removesuffix("weight")
        found |= {f"{place}{part}": tensor for part, tensor in parts.items()}
    return found


def write_folder(
    whole: Path,
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    gone: Collection[str],
    config: Mapping[str, Any],
    max_shard_size: str,
) -> None:
    """Write everything; what is not rounded is copied bit for bit.

    Args:
        whole: the merged model.
        folder: is made.
        tensors: that are new, or have other numbers.
        gone: names of the weights that they take the place of.
        config: the `quantization_config`.
        max_shard_size: a weights file holds at most this much, such as `5GB`.
    """
    folder.mkdir()
    kept = {name: held for name, held in tensors_of(whole).items() if name not in gone}
    write({**kept, **tensors}, folder, max_shard_size)
    for file in plain_files(whole):
        shutil.copyfile(file, folder / file.name)
    said = {**read_json(whole / "config.json"), "quantization_config": dict(config)}
    (folder / "config.json").write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def plain_files(whole: Path) -> list[Path]:
    """The files of a merged folder that go along as they are."""
    files = sorted(file for file in whole.iterdir() if file.is_file())
    return [file for file in files if not file.name.endswith(_OF_WEIGHTS) and file.name not in _ANEW]
