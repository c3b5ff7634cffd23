"""Whether what was written is what was computed, and what it says of the run's conversations beside the run itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import transformers
from tunesmith.types import ModelHandle
from tunesmith_library_proving.figures import Limits
from tunesmith_library_proving.gate import Gate
from tunesmith_library_proving.readers import ModelReader, load_folder

from .combining import fill
from .members import Member

_TOLERANCE = 1e-3  # largest difference of a logit that writing may make


class Proof:
    """Takes what the run's own result says before anything is made.

    Args:
        method: by which the members are taken together, for the report.
    """

    def __init__(self, handle: ModelHandle, method: str, members: Sequence[Member]) -> None:
        self._gate, self._handle = Gate("average", handle), handle
        self._trained = self._gate.trained()
        parts = {member.name: member.weight for member in members}
        self._averaged: dict[str, Any] = {"method": method, "members": parts}
        self._gate.add("averaged", [], **self._averaged)

    def of_matrices(self, apart: float) -> None:
        """Report how far the mean of LoRA's matrices is from the mean of what they do, as a share of that."""
        self._averaged["apart"] = float(f"{apart:.3g}")
        self._gate.add("averaged", [], **self._averaged)

    def written(self, model: Any, folder: Path) -> None:
        """Load what was written, compare it with what was computed, and say how far that is from the run's result.

        Args:
            model: what was computed, in memory; an adapter is the active one.

        Raises: TunesmithError when it is another model, or computes numbers that are not finite.
        """
        computed = self._gate.look(ModelReader(model), answers=False)
        reader = self._loaded(model, folder)
        now = self._gate.look(reader, answers=False)
        self._gate.refuse("writing", computed, now, Limits(largest=_TOLERANCE))
        self._gate.expect(self._trained, now, Limits(), reader)  # it is another model than the run's, and meant to be
        self._gate.wording(reader)
        self._gate.finish(folder)

    def _loaded(self, model: Any, folder: Path) -> ModelReader:
        """The folder as transformers reads it, or as peft does over the model that is at hand."""
        if self._handle.adapter is None:
            return load_folder(folder, model.device, type(model), type(self._handle.processor))
        fill(model, folder)
        reader = ModelReader(model, transformers.AutoTokenizer.from_pretrained(folder))
        reader.program = f"transformers {transformers.__version__} with peft {peft.__version__}"
        return reader
