"""AWQ: the few channels with large activations matter most, and are scaled up before their weights are rounded.

W x = (W diag(s)) (diag(s)⁻¹ x): the weights are rounded after they are multiplied by s, and the division goes into the
norm or the linear layer before (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and
Acceleration", arXiv 2306.00978). Packed layers, calibration and files are those of the library quantizing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import plugin
from tunesmith.traits import QuantizerTraits
from tunesmith.types import Batch
from tunesmith_library_quantizing.calibrated import Calibrated, Count, GroupSize

if TYPE_CHECKING:
    from tunesmith_library_quantizing.quantising import Quantised


@plugin
class Awq(Calibrated):
    """AWQ: few bits by the activations of the training data, or a model that is stored so (Lin et al. 2023)."""

    name: ClassVar[Literal["gptq", "awq"]] = "awq"
    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(2, 3, 4, 8), devices=("cpu", "cuda"), saves=True, calibrates=True, weight_norms=True, method="awq"
    )

    # bits per weight; a model that is stored quantised has its own. 4 is stored in AWQ's layout, the others in GPTQ's
    bits: Literal[2, 3, 4, 8] = 4
    group_size: GroupSize = 128  # weights of a row that share one scale and zero point; -1 is the whole row
    clip: bool = True  # let groups leave out their largest weights where that makes the output's error smaller
    samples: Count = 128  # training examples to look at
    sample_length: Count = 512  # tokens of an example to look at
    # layers that keep their numbers, beside all outside the decoder layers: names, parts of dotted names, or patterns
    # with `*`
    skip_modules: list[str] = []

    def calibrate(self, model: Any, batches: Iterator[Batch]) -> Quantised:
        from tunesmith_library_quantizing.awq import quantise_by_awq
        from tunesmith_library_quantizing.quantising import Settings

        settings = Settings(self.bits, self.group_size, False, self.samples, self.sample_length, self.skip_modules)
        return quantise_by_awq(model, batches, settings, clip=self.clip)
