"""Whether a written folder in few bits is the model that was trained, as far as its bits can say."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.figures import Figures
from tunesmith_library_proving.folders import of_tokenizer
from tunesmith_library_proving.gate import Gate, Observation
from tunesmith_library_proving.quieting import errors_only
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_publishing.inventory import Reader, read_json, tensors_of
from tunesmith_library_quantizing.calibration import compute_device
from tunesmith_library_weights.bases import stored_by

from tunesmith_library_compressing.methods import Method
from tunesmith_library_compressing.writing import plain_files

Round = Callable[[Any, Path], Any]
"""Rounds a loaded model in place, given the folder that it was loaded from."""


class Proof:
    """Follows one export; made before anything is rounded.

    Args:
        form: the exporter's name.
        beside: a folder for what does not need to be in memory.
    """

    def __init__(self, handle: ModelHandle, method: Method, form: str, beside: Path) -> None:
        self._gate, self._handle, self._method = Gate(form, handle, beside), handle, method
        self._device = compute_device(torch.device("cpu"))
        self._trained = self._gate.trained()
        self._base: Figures | None = None
        self._rounded: Observation | None = None

    def base(self, round_: Round) -> None:
        """Measure what this format takes from the base that the adapter was trained over."""
        folder = self._handle.source.path
        if self._handle.adapter is None:
            return
        if stored_by(folder) is not None:
            announce("the base in this format", "not measured", "it is stored in few bits already")
            return
        plain = (folder, None, None, type(self._handle.processor))
        model = load_folder(*plain, dtype=self._method.dtype).model
        known = model.get_input_embeddings().weight.shape[0] >= len(tokenizer_of(self._handle.processor))
        device = self._device if known else "cpu"
        try:
            before = self._gate.look(ModelReader(model.to(device)), answers=False)
            with errors_only("tunesmith"):  # what is said of rounding is said of the trained model
                round_(model.to("cpu"), folder)
        except IndexError:  # the embeddings of a token that the run has added
            announce("the base in this format", "not measured", "it lacks tokens that were added")
            return
        self._base = self._gate.figures(before, self._gate.look(ModelReader(model.to(device)), answers=False))

    def rounded(self, model: Any, counts: Mapping[str, Any]) -> None:
        """Take what the rounded model in memory says; `counts` are told in the report."""
        self._rounded = self._gate.look(ModelReader(model.to(self._device)), answers=False)
        model.to("cpu")
        self._gate.add("rounding", [], **counts)
        if self._handle.adapter is None:
            self._base = self._gate.figures(self._trained, self._rounded)

    def written(self, folder: Path, whole: Path, tensors: Mapping[str, torch.Tensor], gone: Sequence[str]) -> None:
        """Compare every tensor and every file, load the folder, compare what it says, and write the report.

        Args:
            whole: the merged model's folder.
            tensors: what was to be written in place of its own.
            gone: the weights that are in few bits now.

        Raises: TunesmithError that lists everything that differs.
        """
        problems, counts = tensors_differ(folder, whole, tensors, gone)
        self._gate.add("tensors", problems, **counts)
        self._gate.add("files", files_differ(folder, whole))
        try:
            reader = self._method.read(folder, self._device)
        except TunesmithError as error:
            self._gate.add("loading", [str(error)])
            return self._gate.finish(None)
        now = self._gate.look(reader)
        if self._rounded is not None:
            found = self._gate.figures(self._rounded, now)
            beyond = [f"writing changes the model: {problem}" for problem in self._method.writing.passed(found)]
            self._gate.add("writing", beyond, **found.as_json())
        self._gate.expect(self._trained, now, self._method.limits, reader, self._base)
        more = of_tokenizer(folder, self._handle, reader.processor, reader.model.can_generate())
        self._gate.wording(reader, more)
        return self._gate.finish(folder)


def tensors_differ(
    folder: Path, whole: Path, tensors: Mapping[str, torch.Tensor], gone: Sequence[str]
) -> tuple[list[str], dict[str, int]]:
    """What of a written folder is not, bit for bit, what was to be written; and how many tensors are of which kind."""
    before, after = tensors_of(whole), tensors_of(folder)
    kept = [name for name in before if name not in gone and name not in tensors]
    problems = [f"{name} is missing" for name in (*kept, *tensors) if name not in after]
    problems += [f"{name} should not be there" for name in after if name not in tensors and name not in kept]
    with Reader(before) as merged, Reader(after) as written:
        others = [name for name in tensors if name in before and name not in gone]
        changed = sum(not _same(tensors[name].detach().cpu(), merged(name)) for name in others)
        for name in after:
            if name in tensors and not _same(written(name), tensors[name].detach().cpu()):
                problems.append(f"{name} has other values than were to be written")
            elif name in kept and not _same(written(name), merged(name)):
                problems.append(f"{name} has other values than the merged model")
    copied = len(kept) + len(others) - changed
    return problems, {"held": len(after), "copied": copied, "rounded": len(gone), "changed": changed}


def files_differ(folder: Path, whole: Path) -> list[str]:
    """How the files beside the weights differ from the merged model's."""
    problems = []
    for file in plain_files(whole):
        if not (folder / file.name).is_file():
            problems.append(f"{file.name} is missing")
        elif not filecmp.cmp(file, folder / file.name, shallow=False):
            problems.append(f"{file.name} is another than the merged model's")
    said = {key: value for key, value in read_json(folder / "config.json").items() if key != "quantization_config"}
    wanted = read_json(whole / "config.json")
    names = sorted(key for key in said.keys() | wanted.keys() if said.get(key) != wanted.get(key))
    return problems + [
        f"config.json says {key}={said.get(key)!r}, and the merged one {wanted.get(key)!r}" for key in names
    ]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """NaN is equal to itself in its bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = (tensor.contiguous().view(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(*bits)
