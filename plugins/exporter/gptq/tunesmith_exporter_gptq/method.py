"""GPTQ over a merged model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.types import Batch
from tunesmith_library_compressing.packed import Packed
from tunesmith_library_quantizing.gptq import quantise_by_gptq
from tunesmith_library_quantizing.quantising import Quantised, Settings


class GptqMethod(Packed):
    """Rounds by GPTQ.

    Args:
        desc_act: take columns in falling order of their input's mean square.
        damping: part of the mean diagonal of the Hessian that is added to the diagonal.
    """

    def __init__(self, settings: Settings, desc_act: bool, damping: float) -> None:
        super().__init__(settings)
        self._desc_act, self._damping = desc_act, damping

    def quantise(self, model: Any, batches: Sequence[Batch], settings: Settings) -> Quantised:
        return quantise_by_gptq(model, batches, settings, desc_act=self._desc_act, damping=self._damping)
