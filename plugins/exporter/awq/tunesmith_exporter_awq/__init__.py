"""AWQ: the trained model in few bits; channels with large activations are scaled up before their weights are rounded.

Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", arXiv 2306.00978; the
algorithm is the library quantizing's, the road to a proven folder the library compressing's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import plugin
from tunesmith.ranges import filled
from tunesmith_library_compressing.exporting import Count, Data, FewBits, GroupSize

if TYPE_CHECKING:
    from tunesmith_library_compressing.methods import Method


@plugin
class Awq(FewBits):
    """Merges, rounds to few bits by AWQ, and writes what transformers and vLLM load (Lin et al. 2023)."""

    name: ClassVar[str] = "awq"

    # bits per weight. 4 is stored in AWQ's layout, the others in GPTQ's
    bits: Literal[2, 3, 4, 8] = 4
    group_size: GroupSize = 128  # weights of a row that share one scale and zero point; -1 is the whole row
    clip: bool = True  # let groups leave out their largest weights where that makes the output's error smaller
    # layers that keep their numbers, beside all outside the decoder layers: names, parts of dotted names, or patterns
    # with `*`
    skip_modules: list[str] = []
    data: Data = None  # what to calibrate on: a file, a hub's address, a name in the registry; null is the run's data
    samples: Count = 128  # conversations to look at
    sample_length: Count = 512  # tokens of a conversation to look at
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what was written with what was trained, and with the base in the same bits: logits on the run's
    # conversations, every tensor, every file, text and tokens
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    def method(self) -> Method:
        from .method import AwqMethod

        return AwqMethod(self.settings(self.bits, self.group_size, False), self.clip)
