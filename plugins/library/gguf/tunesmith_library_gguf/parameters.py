"""The numbers of an architecture under llama.cpp's names, from a configuration of transformers. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith_library_gguf.families import Family, head_size, rope_of

Value = int | float | bool | str | list[Any]

_YARN = {
    "extrapolation_factor": "yarn_ext_factor",
    "attention_factor": "yarn_attn_factor",
    "beta_fast": "yarn_beta_fast",
    "beta_slow": "yarn_beta_slow",
}


def parameters(config: Mapping[str, Any], family: Family) -> dict[str, Value]:
    """The metadata of a file that says how its tensors are computed with.

    Args:
        config: of the language model, with transformers' defaults, as a dictionary.

    Returns: by llama.cpp's keys; integers are written with 32 bits, without sign, fractions as float32.
    """
    said = dict(_sizes(config, family))
    if family.architecture == "phi3":
        said |= dict(_phi3(config))
    elif family.architecture in ("gemma", "gemma2"):
        said |= dict(_gemma2(config))
    else:
        said |= dict(_rope(config))
    if family.experts:
        said |= dict(_experts(config))
    if family.pattern:
        said |= dict(_windows(config, family))
    return {f"{family.architecture}.{name}": value for name, value in said.items()}


def _sizes(config: Mapping[str, Any], family: Family) -> Iterator[tuple[str, Value]]:
    heads = int(config["num_attention_heads"])
    yield "block_count", int(config["num_hidden_layers"])
    yield "context_length", int(config["max_position_embeddings"])
    yield "embedding_length", int(config["hidden_size"])
    yield "feed_forward_length", int(config["intermediate_size"])
    yield "attention.head_count", heads
    yield "attention.head_count_kv", int(config.get("num_key_value_heads") or heads)
    yield "attention.layer_norm_rms_epsilon", float(config["rms_norm_eps"])
    if config.get("head_dim") and family.architecture != "phi3":
        yield "attention.key_length", int(config["head_dim"])
        yield "attention.value_length", int(config["head_dim"])
    if family.architecture == "llama":
        yield "vocab_size", int(config["vocab_size"])
        yield "rope.dimension_count", head_size(config)
    if family.architecture == "gemma3" and config.get("final_logit_softcapping"):
        yield "final_logit_softcapping", float(config["final_logit_softcapping"])


def _rope(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    rope = rope_of(config)
    yield "rope.freq_base", float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    local = (config.get("rope_parameters") or {}).get("sliding_attention", {}).get("rope_theta")
    if local:
        yield "rope.freq_base_swa", float(local)
    kind = rope.get("rope_type")
    if kind == "linear":
        yield "rope.scaling.type", "linear"
        yield "rope.scaling.factor", float(rope["factor"])
    elif kind == "yarn":
        yield "rope.scaling.type", "yarn"
        yield "rope.scaling.factor", float(rope["factor"])
        yield "rope.scaling.original_context_length", int(rope["original_max_position_embeddings"])
        known = {name: rope[said] for said, name in _YARN.items() if rope.get(said) is not None}
        yield from ((f"rope.scaling.{name}", float(value)) for name, value in known.items())
    elif kind == "longrope":
        yield "rope.scaling.type", "longrope"


def _gemma2(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    base = rope_of(config).get("rope_theta") or config.get("rope_theta") or 10000.0
    if float(base) != 10000.0:  # what llama.cpp takes where nothing is said
        yield "rope.freq_base", float(base)
    for said, name in (("attn_logit_softcapping", "attn"), ("final_logit_softcapping", "final")):
        if config.get(said):
            yield f"{name}_logit_softcapping", float(config[said])


def _phi3(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    rope = rope_of(config)
    original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    longest = int(config["max_position_embeddings"])
    yield "rope.dimension_count", phi3_rotated(config)
    yield "rope.freq_base", float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    yield "rope.scaling.original_context_length", int(original or longest)
    yield "attention.sliding_window", int(config.get("sliding_window") or 0)
    if rope.get("long_factor"):
        scale = longest / int(original or longest)
        factor = math.sqrt(1 + math.log(scale) / math.log(int(original or longest))) if scale > 1 else 1.0
        yield "rope.scaling.attn_factor", factor


def phi3_rotated(config: Mapping[str, Any]) -> int:
    """How many numbers of a head are rotated."""
    part = rope_of(config).get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    return int(part * config["hidden_size"]) // int(config["num_attention_heads"])


def _experts(config: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    yield "expert_count", int(config.get("num_local_experts") or config["num_experts"])
    yield "expert_used_count", int(config["num_experts_per_tok"])
    for said, name in (
        ("moe_intermediate_size", "expert_feed_forward_length"),
        ("shared_expert_intermediate_size", "expert_shared_feed_forward_length"),
    ):
        if config.get(said):
            yield name, int(config[said])


def _windows(config: Mapping[str, Any], family: Family) -> Iterator[tuple[str, Value]]:
    """The window of attention, and which layers have one, where they are others than the architecture's."""
    layers = int(config["num_hidden_layers"])
    usual = [(layer + 1) % family.pattern != 0 for layer in range(layers)]
    kinds = config.get("layer_types") or []
    found = [kind == "sliding_attention" for kind in kinds] or usual
    yield "attention.sliding_window", int(config.get("sliding_window") or 0)
    if found != usual:
        yield "attention.sliding_window_pattern", found
