"""GPTQ: weights of 8 to 2 bits, rounded so that what each layer gives for training data changes least.

Column by column; the columns that are not rounded yet make up for each error, weighted by the second moments of the
layer's inputs (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", arXiv 2210.17323). Stored as vLLM and transformers load it; so stored models are trained over as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import plugin
from tunesmith.ranges import Range
from tunesmith.traits import QuantizerTraits
from tunesmith.types import Batch
from tunesmith_library_quantizing.calibrated import Calibrated, Count, GroupSize

if TYPE_CHECKING:
    from tunesmith_library_quantizing.quantising import Quantised


@plugin
class Gptq(Calibrated):
    """GPTQ: 8, 4, 3 or 2 bits calibrated on the training data, or a model that is stored so (Frantar et al. 2022)."""

    name: ClassVar[Literal["gptq", "awq"]] = "gptq"
    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(2, 3, 4, 8), devices=("cpu", "cuda"), saves=True, calibrates=True, weight_norms=True, method="gptq"
    )

    bits: Literal[2, 3, 4, 8] = 4  # bits per weight; a model that is stored quantised has its own
    group_size: GroupSize = 128  # weights of a row that share one scale and zero point; -1 is the whole row
    sym: bool = True  # no zero point: what the quickest kernels expect; false is more exact at 3 bits and below
    # take the columns with the largest inputs first: more exact, and slower to serve
    desc_act: bool = False
    # part of the mean of the Hessian's diagonal that is added to it
    damping: Annotated[float, Range(0, 10, low_excluded=True)] = 0.01
    samples: Count = 128  # training examples to look at
    sample_length: Count = 2048  # tokens of an example to look at
    # layers that keep their numbers, beside all outside the decoder layers: names, parts of dotted names, or patterns
    # with `*`
    skip_modules: list[str] = []

    def calibrate(self, model: Any, batches: Iterator[Batch]) -> Quantised:
        from tunesmith_library_quantizing.gptq import quantise_by_gptq
        from tunesmith_library_quantizing.quantising import Settings

        settings = Settings(self.bits, self.group_size, self.sym, self.samples, self.sample_length, self.skip_modules)
        return quantise_by_gptq(model, batches, settings, desc_act=self.desc_act, damping=self.damping)
