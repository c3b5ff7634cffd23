"""Whether what was rounded is the trained model, judged beside what the same bits take from the base."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torchao
import transformers
from tunesmith import announce
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.figures import Figures, Limits
from tunesmith_library_proving.folders import of_tokenizer
from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.readers import ModelReader, load_folder

_LIMITS = Limits(divergence=0.05, beside_base=4.0)


class Served(ModelReader):
    """A model as it is served: in the numbers that it has, for torchao's tensors compute with no others."""

    program = f"transformers {transformers.__version__} with torchao {torchao.__version__}"

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            said = self.model(input_ids=torch.tensor([list(ids)], device=self.model.device), use_cache=False)
        logits: torch.Tensor = said.logits[0].float().cpu()
        return logits

    def last(self, ids: Sequence[int]) -> torch.Tensor:
        return self.logits(ids)[-1]


def prove(handle: ModelHandle, folder: Path, rounding: Callable[[Path, Path], Any]) -> None:
    """Load the folder by transformers, compare it with the trained model, and write the report.

    Args:
        rounding: does to a folder what was done to this one.

    Raises: TunesmithError that lists everything that differs.
    """
    gate = Gate("torchao", handle, folder.parent)
    trained, reader = gate.trained(), _served(folder, handle)
    base = _drift(gate, handle, folder, rounding)
    gate.expect(trained, gate.look(reader), _LIMITS, reader, base)
    gate.wording(reader, of_tokenizer(folder, handle, reader.processor, trained.writes))
    gate.finish(folder)


def _served(folder: Path, handle: ModelHandle) -> Served:
    loaded = load_folder(folder, None, None, type(handle.processor))
    return Served(loaded.model, loaded.processor)


def _drift(gate: Gate, handle: ModelHandle, folder: Path, rounding: Callable[[Path, Path], Any]) -> Figures | None:
    """What the same bits take from the base that an adapter was trained over; None where there is none to ask."""
    base, rows = handle.source.path, len(tokenizer_of(handle.processor))
    if handle.adapter is None or not gate.trained().writes:
        return None
    reader = load_folder(base, None, None, type(handle.processor))
    if reader.model.get_input_embeddings().weight.shape[0] < rows:
        announce("base", "not compared in this format", "the run has added tokens that it does not know")
        return None
    before: Any = gate.look(reader, answers=False)
    del reader
    with tempfile.TemporaryDirectory(dir=folder.parent) as workshop:
        rounding(base, Path(workshop) / "base")
        return gate.figures(before, gate.look(_served(Path(workshop) / "base", handle), answers=False))
