"""How large the files of an exported model get: its weights, each in as many bits as the format stores it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Estimate, Weight

if TYPE_CHECKING:
    from tunesmith.planning import Plan

# Bits of a number in llama.cpp's blocks, with its share of their scales (ggml-common.h).
BLOCKS = {
    **{"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 6.5625, "q5_k": 5.5, "q5_1": 6.0, "q5_0": 5.5},
    **{"q4_k": 4.5, "q4_1": 5.0, "q4_0": 4.5, "iq4_nl": 4.5, "iq4_xs": 4.25, "q3_k": 3.4375, "q2_k": 2.625},
}
_MIXED = {"q5_k_m": "q5_k", "q5_k_s": "q5_k", "q4_k_m": "q4_k", "q4_k_s": "q4_k"}
_SUPER = 256  # numbers of a row that a block of the k-kinds has; rows of another length are stored in the next finer
_FINER = {"q2_k": "q4_0", "q3_k": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "iq4_xs": "iq4_nl"}
_HALF_FINER = ("self_attn.v_proj", "mlp.down_proj")  # of these the kinds `_m` store half of the layers in 6 bits


def with_files(
    estimate: Estimate, what: str, bits: Callable[[Weight], float], plan: Plan, of_a_word: float = 70.0
) -> Estimate:
    """The estimate with an exported model on the disk.

    Args:
        what: the files are, as in `merged model`.
        bits: that a number of a weight is stored in.
        of_a_word: bytes of an entry of the vocabulary, in `tokenizer.json` with its merge; in a GGUF file 23.
    """
    size = sum(weight.count * bits(weight) / 8 for weight in written(estimate, plan))
    return estimate.storing(what, size + of_a_word * estimate.vocabulary) if size else estimate


def written(estimate: Estimate, plan: Plan) -> list[Weight]:
    """The weights of the model without those of an adapter beside it, which are merged into them."""
    adapter = plan.traits("adapter")
    beside = adapter is not None and adapter.beside
    return [weight for weight in estimate.weights if not (beside and is_of_adapter(weight))]


def is_of_adapter(weight: Weight) -> bool:
    """Whether it is a trained matrix that no layer of the model itself has."""
    return weight.trained and weight.kind == "other"


def few_bits(weight: Weight, bits: float, group_size: int, zeros: bool) -> float:
    """Bits of a number where the linear layers within the layers are rounded, each group with a scale in 16 bits.

    Args:
        group_size: numbers that share a scale; -1 is a row.
        zeros: whether a group has a zero point, in as many bits as a number.
    """
    if weight.kind != "linear" or layer_of(weight) is None:
        return 16.0
    group = weight.shape[-1] if group_size == -1 else group_size
    return bits + (16 + zeros * bits) / group


def gguf_bits(estimate: Estimate, kind: str) -> Callable[[Weight], float] | None:
    """The bits of a number of each weight in a GGUF file; None for a kind whose mixture is not known here.

    Args:
        kind: as llama.cpp calls it: `q4_k_m`.
    """
    base = _MIXED.get(kind, kind)
    if base not in BLOCKS:
        return None
    layers = 1 + max((layer for weight in estimate.weights if (layer := layer_of(weight)) is not None), default=0)
    tied = not any(weight.kind == "head" for weight in estimate.weights)

    def bits(weight: Weight) -> float:
        if len(weight.shape) < 2:
            return 32.0
        chosen = base
        if base not in ("f32", "f16", "bf16", "q8_0"):
            if weight.kind == "head" or (tied and weight.kind == "embedding"):
                chosen = "q6_k"  # the output layer
            elif kind.endswith("_m") and any(name in weight.name for name in _HALF_FINER):
                chosen = "q6_k" if _is_finer(layer_of(weight) or 0, layers) else base
        if weight.shape[-1] % _SUPER and chosen in _FINER:
            chosen = _FINER[chosen]
        return BLOCKS[chosen]

    return bits


def _is_finer(layer: int, layers: int) -> bool:
    """As llama.cpp chooses them: the first eighth of the layers, the last, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
