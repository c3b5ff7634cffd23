"""The schemes of the compressed-tensors format that are written here, as its package describes them."""

from __future__ import annotations

from dataclasses import dataclass

from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, preset_name_to_scheme
from tunesmith_library_compressing.packed import LIMITS
from tunesmith_library_proving.figures import Limits

TARGETS = ["Linear"]


@dataclass(frozen=True)
class Scheme:
    """One way to hold weights and activations."""

    bits: int  # of a weight
    form: str  # how files hold it, as the package names it
    preset: str  # of the package
    limits: Limits
    by_gptq: bool = False  # whether weights are rounded by what goes through them
    sees_inputs: bool = False  # whether activations have a scale that is measured beforehand
    whole: bool = False  # one scale per layer instead of one per row
    dtype: str = "auto"  # in what a model is merged; NVFP4 is decompressed to bfloat16 alone

    def described(self, group_size: int, sym: bool) -> QuantizationScheme:
        """In the package's words.

        Args:
            group_size: -1 for the preset's own.
            sym: no zero points.
        """
        found = preset_name_to_scheme(self.preset, TARGETS)
        weights = found.weights.model_dump()
        if self.whole:
            weights["strategy"] = "tensor"
        if self.preset == "W4A16":
            weights |= {"symmetric": sym}
            weights |= {"group_size": group_size} if group_size > 0 else {"group_size": None, "strategy": "channel"}
        return found.model_copy(update={"weights": QuantizationArgs.model_validate(weights)})


_EIGHT, _FOUR = Limits(divergence=0.1, beside_base=5.0), Limits(divergence=0.5, beside_base=5.0)
SCHEMES = {
    "fp8": Scheme(8, "float-quantized", "FP8_DYNAMIC", _EIGHT),
    "fp8_tensor": Scheme(8, "float-quantized", "FP8_DYNAMIC", _EIGHT, whole=True),
    "w8a8": Scheme(8, "int-quantized", "W8A8", _EIGHT, by_gptq=True),
    "w4a16": Scheme(4, "pack-quantized", "W4A16", LIMITS[4], by_gptq=True),
    "nvfp4": Scheme(4, "nvfp4-pack-quantized", "NVFP4", _FOUR, sees_inputs=True, dtype="bfloat16"),
    "nvfp4a16": Scheme(4, "nvfp4-pack-quantized", "NVFP4A16", _FOUR, dtype="bfloat16"),
}
