"""GPTQ: the trained model in 8 to 2 bits, rounded so that what each layer gives for the run's data changes least.

Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", arXiv
2210.17323; the algorithm is the library quantizing's, the road to a proven folder the library compressing's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import plugin
from tunesmith.ranges import Range, filled
from tunesmith_library_compressing.exporting import Count, Data, FewBits, GroupSize

if TYPE_CHECKING:
    from tunesmith_library_compressing.methods import Method


@plugin
class Gptq(FewBits):
    """Merges, rounds to few bits by GPTQ, and writes what transformers and vLLM load (Frantar et al. 2022)."""

    name: ClassVar[str] = "gptq"

    bits: Literal[2, 3, 4, 8] = 4  # bits per weight
    group_size: GroupSize = 128  # weights of a row that share one scale and zero point; -1 is the whole row
    sym: bool = True  # no zero point: what the quickest kernels expect; false is more exact at 3 bits and below
    # take the columns with the largest inputs first: more exact, and slower to serve
    desc_act: bool = False
    # part of the mean of the Hessian's diagonal that is added to it
    damping: Annotated[float, Range(0, 10, low_excluded=True)] = 0.01
    # layers that keep their numbers, beside all outside the decoder layers: names, parts of dotted names, or patterns
    # with `*`
    skip_modules: list[str] = []
    data: Data = None  # what to calibrate on: a file, a hub's address, a name in the registry; null is the run's data
    samples: Count = 128  # conversations to look at
    sample_length: Count = 2048  # tokens of a conversation to look at
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what was written with what was trained, and with the base in the same bits: logits on the run's
    # conversations, every tensor, every file, text and tokens
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    def method(self) -> Method:
        from .method import GptqMethod

        settings = self.settings(self.bits, self.group_size, self.sym)
        return GptqMethod(settings, self.desc_act, self.damping)
