"""Models that are stored in few bits: what their config.json says of it, and what a number of a weight then takes.

With a group's scale of 16 bits and its zero point of as many bits as a weight, `b` bits in groups of `g` take
`b + (16 + b) / g` each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith_library_estimates.estimation import Weight

_HEADS = ("lm_head", "embed_out", "output_layer")


@dataclass(frozen=True)
class Stored:
    """How a model is stored."""

    method: str
    bits: Callable[[Weight], float]  # of one number of a weight, with its share of the scales
    skip: tuple[str, ...]  # patterns of layers that are stored as they are
    experts: bool  # whether fused experts are among what is in few bits
    on_gpus: bool = False  # whether it is undone where there is no GPU

    @property
    def told(self) -> str:
        """The method, and the bits of a matrix of usual size, in words."""
        return f"as stored by {self.method} in {self.bits(Weight('', (4096, 4096), 'experts', 16)):.2g} bits"


def stored_in(config: Mapping[str, Any]) -> Stored | None:
    """How a model is stored, by its config.json; None in full, or in a way that is not known here."""
    said = config.get("quantization_config")
    if not isinstance(said, Mapping):
        return None
    try:
        return _stored(str(said.get("quant_method") or _bitsandbytes_of_old(said)), said)
    except (TypeError, LookupError, ArithmeticError, StopIteration):
        return None


def _bitsandbytes_of_old(said: Mapping[str, Any]) -> str:
    return "bitsandbytes" if said.get("load_in_4bit") or said.get("load_in_8bit") else ""


def _stored(method: str, said: Mapping[str, Any]) -> Stored | None:
    skip = tuple(_names(said.get("modules_to_not_convert") or said.get("llm_int8_skip_modules")))
    if method in ("gptq", "awq", "auto-round", "intel/auto-round"):
        width = int(said.get("bits") or said["w_bit"])
        return Stored(
            method, _grouped(width, int(said.get("group_size") or said.get("q_group_size") or -1)), skip, False
        )
    if method == "bitsandbytes":
        return Stored(method, _bitsandbytes(said), skip, False)
    if method in ("fp8", "fbgemm_fp8"):
        rows, columns = said.get("weight_block_size") or (128, 128)
        return Stored(method, lambda weight: 8 + 32 / (rows * columns), skip, True, on_gpus=True)
    if method == "mxfp4":
        return Stored(
            method, lambda weight: 4 + 8 / 32 if weight.kind == "experts" else weight.bits, skip, True, on_gpus=True
        )
    if method == "compressed-tensors":
        first = next(iter(said["config_groups"].values()))["weights"]
        size = int(first.get("group_size") or -1)
        skip = tuple(_names(said.get("ignore")))
        return Stored(method, _grouped(int(first["num_bits"]), size, not first.get("symmetric")), skip, True)
    if method == "hqq":
        inside = said.get("quant_config") or said
        weights = inside.get("weight_quant_params") or inside
        size = int(weights.get("group_size") or 64)
        skip = tuple(_names(said.get("skip_modules")))
        return Stored(method, _grouped(int(weights["nbits"]), size, False, 32), skip, False)
    return Stored(method, _codes(said), tuple(_names(said.get("linear_weights_not_to_quantize"))), False)


def _codes(said: Mapping[str, Any]) -> Callable[[Weight], float]:
    """Of AQLM: codes of groups, a scale for each row, and the codebooks."""
    width, books = int(said["nbits_per_codebook"]), int(said["num_codebooks"])
    group = int(said["in_group_size"]) * int(said["out_group_size"])
    return lambda weight: width * books / group + (16 * weight.shape[0] + 16 * books * 2**width * group) / weight.count


def _grouped(bits: int, size: int, has_zeros: bool = True, scale: int = 16) -> Callable[[Weight], float]:
    """Of weights that share a scale in groups, or in a row where the size is not positive."""

    def of(weight: Weight) -> float:
        return bits + (scale + bits * has_zeros) / (size if size > 0 else weight.shape[-1])

    return of


def _bitsandbytes(said: Mapping[str, Any]) -> Callable[[Weight], float]:
    if said.get("load_in_8bit"):
        return lambda weight: 8 + 32 / weight.shape[-1]
    scale = 8 + 32 / 256 if said.get("bnb_4bit_use_double_quant") else 32
    return lambda weight: 4 + scale / 64


def _names(said: Any) -> Sequence[str]:
    """Patterns of layers, as `matches_any` reads them; the output layer is left out anyway."""
    names = [str(name).removeprefix("re:").replace(".*", "*").removesuffix(".weight") for name in said or ()]
    return [name for name in names if name not in _HEADS]
