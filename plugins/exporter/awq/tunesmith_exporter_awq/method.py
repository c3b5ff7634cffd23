"""AWQ over a merged model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.types import Batch
from tunesmith_library_compressing.packed import Packed
from tunesmith_library_proving.figures import Limits
from tunesmith_library_quantizing.awq import quantise_by_awq
from tunesmith_library_quantizing.quantising import Quantised, Settings


class AwqMethod(Packed):
    """Rounds by AWQ. In memory the scales stay with the layers; in files they are in the norms, in these's numbers.

    Args:
        clip: let groups leave out their largest weights where that makes the output's error smaller.
    """

    writing = Limits(divergence=1e-3)

    def __init__(self, settings: Settings, clip: bool) -> None:
        super().__init__(settings)
        self._clip = clip

    def quantise(self, model: Any, batches: Sequence[Batch], settings: Settings) -> Quantised:
        return quantise_by_awq(model, batches, settings, clip=self._clip)
