"""Whether a written folder of a whole model is the trained one, at every step of the way: merged, rounded, written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelHandle
from tunesmith_library_publishing.inventory import Numbers, numbers_of
from tunesmith_library_publishing.whole import Result

from tunesmith_library_proving.figures import Figures, Limits
from tunesmith_library_proving.folders import of_tokenizer, prove_folder
from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.inventory import take
from tunesmith_library_proving.readers import ModelReader, load_folder
from tunesmith_library_proving.rounding import BITS, round_weights

# By how much rounding what was merged may change it: half a percent of a nat for float16's 11 bits, and more for 8.
_ROUNDED = {
    "float32": Limits(),
    "float16": Limits(divergence=0.01, beside_base=5.0),
    "bfloat16": Limits(divergence=0.05, beside_base=5.0),
}


class Proof:
    """Follows one export through the gate; made of the loaded model, before anything is done to it.

    Args:
        tolerance: largest difference of a logit that merging, or writing, may make.
        beside: the folder that the export's is made in.
    """

    def __init__(self, model: Any, handle: ModelHandle, numbers: Numbers, tolerance: float, beside: Path) -> None:
        self._gate, self._handle, self._numbers = Gate("merged", handle, beside), handle, numbers
        self._exact = Limits(largest=tolerance)
        self._trained = self._last = self._gate.trained(model)
        self._base: Figures | None = None
        self._few_bits = False  # whether the base is stored in few bits
        self._model_class, self._device, self._writes = type(model), model.device, model.can_generate()

    def dequantised(self, model: Any) -> None:
        """Take what it does to the model that its base's few bits are computed in full.

        Raises: TunesmithError when it is more than rounding to 16 bits may do.
        """
        now = self._gate.look(ModelReader(model), answers=False)
        limits = _ROUNDED["bfloat16"]
        found = self._gate.refuse("dequantising", self._trained, now, limits)
        announce("dequantised", "the base", f"beside its few bits with the adapter: {found.described()}")
        self._last, self._few_bits = now, True

    def merged(self, model: Any) -> None:
        """Raises: TunesmithError when the merged model computes something else than model and adapter.

        One that is held in 16 bits is rounded with that; the adapter has compared each layer before.
        """
        now = self._gate.look(ModelReader(model), answers=False)
        narrow = any(weight.dtype in (torch.bfloat16, torch.float16) for weight in model.parameters())
        self._gate.refuse("merging", self._last, now, _ROUNDED[self._numbers.common] if narrow else self._exact)
        self._last, self._model_class = now, type(model)

    def rounded(self, model: Any) -> None:
        """Raises: TunesmithError when rounding takes more than it takes from the base."""
        self._base = self._drift()
        now = self._gate.look(ModelReader(model), answers=False)
        common = self._numbers.common
        limits = _ROUNDED[common]
        found = self._gate.refuse(f"rounding to {common}", self._trained, now, _beside(limits, self._base))
        announce("rounding", common, found.described())
        self._last = now

    def _drift(self) -> Figures | None:
        """What rounding takes from the base, where it is to be rounded to fewer bits than it has."""
        base = self._handle.source.path
        if self._few_bits or self._numbers.tensors or BITS[self._numbers.common] >= BITS[numbers_of(base).common]:
            return None
        reader = load_folder(base, self._device, self._model_class, type(self._handle.processor))
        before = self._gate.look(reader, answers=False)
        round_weights(reader.model, base, self._numbers)
        return self._gate.figures(before, self._gate.look(reader, answers=False))

    def tensors(self, folder: Path, model: Any, result: Result) -> None:
        """Compare what was written, bit for bit, with the model in memory, and everything beside it."""
        base = self._handle.source.path
        self._gate.tensors(take(folder, base, model, self._numbers, result.tensors.replaced))
        prove_folder(self._gate, folder, base, model, result.files.kept)

    def written(self, folder: Path) -> None:
        """Load the folder by plain transformers, and compare it with the trained model; write the report.

        Raises: TunesmithError that lists everything that differs.
        """
        try:
            reader = load_folder(folder, self._device, self._model_class, type(self._handle.processor))
        except TunesmithError as error:
            self._gate.add("loading", [str(error)])
            return self._gate.finish(None)
        now = self._gate.look(reader)
        beyond = self._exact.passed(self._gate.figures(self._last, now))
        self._gate.add("writing", [f"writing changes the model: {problem}" for problem in beyond])
        limits = _beside(_ROUNDED[self._numbers.common], self._base)
        self._gate.expect(self._trained, now, limits, reader, self._base)
        self._gate.wording(reader, of_tokenizer(folder, self._handle, reader.processor, self._writes))
        return self._gate.finish(folder)


def _beside(limits: Limits, base: Figures | None) -> Limits:
    """The limits of a format, wider where the base itself does not keep them in it."""
    allowed = max(limits.divergence, limits.beside_base * base.divergence) if base else limits.divergence
    return Limits(limits.largest, allowed, limits.same_choice, limits.worse, limits.beside_base)
