"""Scores of attention, a number of each head for each token that a token looks at: kept where attention is written out.

Kernels compute them again in the backward pass. They are written out with `model.attention=eager`, and where no kernel
does what a model asks for: a cap on scores, sinks; on CPUs dropout of scores, and latent attention, whose values are
narrower than its keys.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SINKS = frozenset({"gpt_oss"})
_OWN = frozenset({"bloom", "gptj", "gpt_neo"})  # whose attention is written out, whatever is asked for


@dataclass(frozen=True)
class Scores:
    """Bytes of one layer for each pair of tokens of a sequence, whether or not one sees the other."""

    kept: float = 0.0  # until the backward pass
    at_once: float = 0.0  # beside them, while their gradients are computed
    across: bool = False  # whether also tokens of other sequences of a batch without padding are paired

    def __bool__(self) -> bool:
        return self.kept > 0


def scores_of(config: Mapping[str, Any], attention: str, computed: int, device: str, capped: bool = False) -> Scores:
    """What the attention of a model keeps, as measured with transformers 5 and torch 2.13 on a CPU.

    Weights are in float32, and once more in 16 bits where that is computed in; a cap keeps what it gives.

    Args:
        config: what the `config.json` of the language model holds, completed.
        attention: how it is computed, as `model.attention` names it, or transformers' configuration.
        computed: bytes of a number that is computed.
        capped: whether a kernel is at hand that caps scores.
    """
    heads = config.get("num_attention_heads") or config.get("n_head") or config.get("num_heads")
    if not isinstance(heads, int):
        return Scores()
    cap, sinks = bool(config.get("attn_logit_softcapping")), config.get("model_type") in _SINKS
    drops = bool(config.get("attn_pdrop") or config.get("attention_dropout"))
    softmax = 4.0 if computed == 4 else 6.0
    gradients = 8.0 if computed == 4 else 6.0
    written = attention == "eager" or config.get("model_type") in _OWN
    explicit = not written and attention not in ("sdpa", "flash_attention_2", "flash_attention_3")
    if written or (explicit and (sinks or (cap and not capped))):
        each = softmax + computed * cap + (2.0 * computed if drops else 0.0)
        mask = 0.0 if written else 1.0  # of all heads
        return Scores(heads * each + mask, heads * gradients, across=written)
    if device == "cpu" and attention not in ("flash_attention_2", "flash_attention_3"):
        if drops:
            return Scores(heads * 12.0, heads * 4.0)  # in float32, whatever is computed in
        if config.get("kv_lora_rank") and config.get("v_head_dim") != _of_keys(config):
            return Scores(heads * 4.0, heads * (8.0 if computed == 4 else 7.0))
    return Scores()


def caps_scores(device: str) -> bool:
    """Whether a kernel is installed that caps scores as it computes them."""
    return device == "cuda" and importlib.util.find_spec("flash_attn") is not None


def _of_keys(config: Mapping[str, Any]) -> int:
    return int(config.get("qk_nope_head_dim") or 0) + int(config.get("qk_rope_head_dim") or 0)
