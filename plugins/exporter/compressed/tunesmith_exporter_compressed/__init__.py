"""The trained model in the compressed-tensors format, which vLLM serves natively: FP8, INT8, 4 bits, or NVFP4.

Written with the format's own package (Apache 2.0); what is rounded, and how, is decided here: to nearest for numbers
with a point, by GPTQ (Frantar et al. 2022, arXiv 2210.17323) for whole ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import plugin
from tunesmith.ranges import Range, filled
from tunesmith_library_compressing.exporting import Count, Data, FewBits, GroupSize

if TYPE_CHECKING:
    from tunesmith_library_compressing.methods import Method


@plugin
class Compressed(FewBits):
    """Merges, rounds, and writes FP8, W8A8, W4A16 or NVFP4 in the compressed-tensors format, for vLLM."""

    name: ClassVar[str] = "compressed"

    # weights and activations: fp8 (a scale per row), fp8_tensor (one per layer) and w8a8 (whole numbers) round each
    # token's activations as it comes; w4a16 and nvfp4a16 round weights alone; nvfp4 rounds both to 4 bits
    scheme: Literal["fp8", "fp8_tensor", "w8a8", "w4a16", "nvfp4", "nvfp4a16"] = "fp8"
    group_size: GroupSize = 128  # of w4a16: weights of a row that share one scale; -1 is the whole row
    sym: bool = True  # of w4a16: no zero point
    # of w8a8 and w4a16: part of the mean of the Hessian's diagonal that is added to it
    damping: Annotated[float, Range(0, 10, low_excluded=True)] = 0.01
    # layers that keep their numbers, beside all outside the decoder layers: names, parts of dotted names, or patterns
    # with `*`
    skip_modules: list[str] = []
    # of w8a8, w4a16 and nvfp4, what to calibrate on: a file, a hub's address, a name in the registry; null is the run's
    data: Data = None
    samples: Count = 128  # conversations to look at
    sample_length: Count = 2048  # tokens of a conversation to look at
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what was written with what was trained, and with the base in the same numbers: logits on the run's
    # conversations, every tensor, every file, text and tokens
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    @property
    def stored(self) -> tuple[float, int]:
        known = {"w4a16": (4.0, self.group_size), "nvfp4": (4.0, 32), "nvfp4a16": (4.0, 32)}  # a scale of 8 bits for 16
        return known.get(self.scheme, (8.0, -1))

    @property
    def looks(self) -> bool:
        return self.scheme in ("w8a8", "w4a16", "nvfp4")

    def method(self) -> Method:
        from .method import CompressedMethod
        from .schemes import SCHEMES

        scheme = SCHEMES[self.scheme]
        grouped = self.scheme == "w4a16"
        settings = self.settings(scheme.bits, self.group_size if grouped else -1, self.sym if grouped else True)
        return CompressedMethod(settings, scheme, self.damping)
