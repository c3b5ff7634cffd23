"""The kinds of numbers that a GGUF file is written in: their names, who rounds to them, and what rounding may cost.

This module imports nothing, so that a plan can ask it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One way in which most of a file's weights are held."""

    number: int  # llama.cpp's, in general.file_type
    divergence: float  # nats that it may be from the trained model, whatever the base does in it
    own: str = ""  # ggml's name where it is written here; "" where llama.cpp's quantiser rounds
    important: bool = False  # whether it needs an importance matrix

    @property
    def lossy(self) -> bool:
        """Whether it has fewer than 16 bits a weight, so that the base is put through it too."""
        return self.own not in ("F32", "F16", "BF16")


KINDS: dict[str, Kind] = {
    "f32": Kind(0, 0.001, "F32"),
    "f16": Kind(1, 0.002, "F16"),
    "bf16": Kind(32, 0.02, "BF16"),
    "q8_0": Kind(7, 0.005, "Q8_0"),
    "q6_k": Kind(18, 0.05),
    "q5_k_m": Kind(17, 0.1),
    "q5_k_s": Kind(16, 0.1),
    "q5_1": Kind(9, 0.1),
    "q5_0": Kind(8, 0.1),
    "q4_k_m": Kind(15, 0.3),
    "q4_k_s": Kind(14, 0.3),
    "q4_1": Kind(3, 0.3),
    "q4_0": Kind(2, 0.3),
    "iq4_nl": Kind(25, 0.3),
    "iq4_xs": Kind(30, 0.3),
    "q3_k_l": Kind(13, 0.6),
    "q3_k_m": Kind(12, 0.6),
    "q3_k_s": Kind(11, 0.6),
    "iq3_m": Kind(27, 0.6),
    "iq3_s": Kind(26, 0.6),
    "iq3_xs": Kind(22, 0.6),
    "iq3_xxs": Kind(23, 1.0),
    "q2_k": Kind(10, 1.5),
    "q2_k_s": Kind(21, 1.5, important=True),
    "iq2_m": Kind(29, 1.5),
    "iq2_s": Kind(28, 1.5, important=True),
    "iq2_xs": Kind(20, 1.5, important=True),
    "iq2_xxs": Kind(19, 2.0, important=True),
    "iq1_m": Kind(31, 3.0, important=True),
    "iq1_s": Kind(24, 3.0, important=True),
}
"""By the name that a user writes, from the most exact to the smallest."""

# How far a tensor may be from what it was rounded from, as a share of its size (root of the mean square), by ggml's
# name of its numbers: about twice what a normal distribution loses, more than an importance matrix makes of it.
ERRORS = {
    **{"F32": 0.0, "F16": 0.001, "BF16": 0.004, "Q8_0": 0.02, "Q6_K": 0.05, "Q5_K": 0.1, "Q5_1": 0.1, "Q5_0": 0.1},
    **{"Q4_K": 0.2, "Q4_1": 0.2, "Q4_0": 0.25, "IQ4_NL": 0.2, "IQ4_XS": 0.2, "Q3_K": 0.4, "IQ3_S": 0.4},
    **{"IQ3_XXS": 0.5, "Q2_K": 0.7, "IQ2_S": 0.7, "IQ2_XS": 0.7, "IQ2_XXS": 0.8, "IQ1_M": 0.9, "IQ1_S": 0.9},
}

_FINER = {"float16": {"f32"}, "bfloat16": {"f32", "f16"}}


def merged_in(kinds: Iterable[str], held: str) -> str:
    """In what a model is merged, so that it is rounded once: float32 where a file holds more than the base's numbers,
    else auto, which is these.

    Args:
        held: the base's numbers, as torch names them.
    """
    return "float32" if _FINER.get(held, set()) & set(kinds) else "auto"
