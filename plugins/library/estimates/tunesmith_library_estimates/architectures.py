"""The weights of a decoder by the numbers of its config.json, with names and shapes as transformers has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.estimation import Weight


@dataclass(frozen=True)
class Decoder:
    """What an estimate needs to know of a model."""

    weights: tuple[Weight, ...]  # a tied output layer is not among them
    hidden_size: int
    vocabulary: int
    experts_per_token: int
    flops_per_token: float  # of a forward pass through the weights: two for each that a token meets
    flops_per_pair: float  # of attention, for each token that a token looks at: its key, and its value


@dataclass(frozen=True)
class _Family:
    """How the layers of a model type differ from Llama's, and what its config.json may leave out."""

    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    head_norms: bool = False  # queries and keys are normalised head by head
    whole_norms: bool = False  # queries and keys are normalised over all heads at once
    biased: bool = False  # queries, keys and values have a bias whatever the configuration says
    sinks: bool = False  # each head has a number that attention may go to
    tied: bool = False  # the output layer is the embeddings
    head_dim: int | None = None
    expert_width: str = ""  # the key of an expert's width, where layers have experts
    router: str = "gate"  # what chooses among them
    shared_width: str = ""  # the key of the width of an expert that every token meets beside them
    transposed: bool = False  # experts are (experts, in, out), and they and their router have biases


_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")  # what configurations call it
_FOUR_NORMS = (*_Family.norms, "pre_feedforward_layernorm", "post_feedforward_layernorm")
_FAMILIES = {
    "llama": _Family(),
    "mistral": _Family(),
    "granite": _Family(),
    "smollm3": _Family(tied=True),
    "qwen2": _Family(biased=True),
    "qwen3": _Family(head_norms=True, head_dim=128),
    "gemma": _Family(tied=True, head_dim=256),
    "gemma2": _Family(_FOUR_NORMS, tied=True, head_dim=256),
    "gemma3_text": _Family(_FOUR_NORMS, head_norms=True, tied=True, head_dim=256),
    "mixtral": _Family(expert_width="intermediate_size"),
    "qwen2_moe": _Family(
        biased=True, expert_width="moe_intermediate_size", shared_width="shared_expert_intermediate_size"
    ),
    "qwen3_moe": _Family(head_norms=True, expert_width="moe_intermediate_size"),
    "olmoe": _Family(whole_norms=True, expert_width="intermediate_size"),
    "gpt_oss": _Family(sinks=True, expert_width="intermediate_size", router="router", transposed=True),
}


def decoder(config: Mapping[str, Any], bits: int) -> Decoder | None:
    """The weights of a causal language model.

    Args:
        config: what its config.json holds.
        bits: of a number in memory.

    Returns: None for an architecture that is not known here, and for a configuration that lacks a number.
    """
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return None
    try:
        return _decoder(config, family, bits)
    except (KeyError, TypeError):
        return None


def is_known(model_type: object) -> bool:
    """Whether the layers of this architecture are known here."""
    return model_type in _FAMILIES


def experts_at(folder: Path) -> list[str]:
    """The names of the fused experts of a model in a folder, by its config.json; [] where it has none, or no such file.

    Of an architecture that is not known here they are called by what all of them have in their names.
    """
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    text = config.get("text_config") or config
    found = decoder(text, 16)
    if found is not None:
        return [weight.name for weight in found.weights if weight.kind == "experts"]
    return ["experts"] if any(isinstance(text.get(key), int) and text[key] > 1 for key in _COUNTS) else []


def _decoder(config: Mapping[str, Any], family: _Family, bits: int) -> Decoder:
    hidden, vocabulary, layers = (int(config[key]) for key in ("hidden_size", "vocab_size", "num_hidden_layers"))
    weights = [Weight("model.embed_tokens.weight", (vocabulary, hidden), "embedding", bits)]
    for layer in range(layers):
        weights += _layer(config, family, layer, bits)
    weights.append(Weight("model.norm.weight", (hidden,), "norm", bits))
    if not config.get("tie_word_embeddings", family.tied):
        weights.append(Weight("lm_head.weight", (vocabulary, hidden), "head", bits))
    experts = int(config.get("num_experts_per_tok") or 1) if family.expert_width else 1
    met = sum(_met(weight, experts) for weight in weights) + vocabulary * hidden  # the output layer, tied or not
    heads = _heads(config, family)
    return Decoder(
        tuple(weights), hidden, vocabulary, experts, 2.0 * met, 4.0 * layers * heads[0] * heads[2] if layers else 0.0
    )


def _met(weight: Weight, experts: int) -> int:
    """How many numbers of a weight within the layers a token is multiplied with."""
    if weight.kind == "experts":
        return experts * weight.count // weight.shape[0]
    return weight.count if weight.kind in ("linear", "other") and len(weight.shape) > 1 else 0


def _heads(config: Mapping[str, Any], family: _Family) -> tuple[int, int, int]:
    """Heads of the queries, heads of keys and values, and the width of one."""
    heads = int(config["num_attention_heads"])
    of_keys = int(config.get("num_key_value_heads") or heads)
    width = config.get("head_dim") or family.head_dim or int(config["hidden_size"]) // heads
    return heads, of_keys, int(width)


def _layer(config: Mapping[str, Any], family: _Family, layer: int, bits: int) -> Iterator[Weight]:
    """The weights of one layer, in the order of the module tree."""
    hidden, prefix = int(config["hidden_size"]), f"model.layers.{layer}"
    heads, of_keys, width = _heads(config, family)
    every, first = bool(config.get("attention_bias")), family.biased
    projections = {
        "q_proj": (heads * width, hidden, every or first),
        "k_proj": (of_keys * width, hidden, every or first),
        "v_proj": (of_keys * width, hidden, every or first),
        "o_proj": (hidden, heads * width, every),
    }
    for name, (rows, columns, biased) in projections.items():
        yield from _linear(f"{prefix}.self_attn.{name}", rows, columns, biased, bits)
    if family.head_norms or family.whole_norms:
        for name, count in (("q_norm", heads), ("k_norm", of_keys)):
            size = width * (count if family.whole_norms else 1)
            yield Weight(f"{prefix}.self_attn.{name}.weight", (size,), "norm", bits)
    if family.sinks:
        yield Weight(f"{prefix}.self_attn.sinks", (heads,), "other", bits)
    yield from _feed_forward(config, family, layer, bits)
    for name in family.norms:
        yield Weight(f"{prefix}.{name}.weight", (hidden,), "norm", bits)


def _feed_forward(config: Mapping[str, Any], family: _Family, layer: int, bits: int) -> Iterator[Weight]:
    hidden, prefix = int(config["hidden_size"]), f"model.layers.{layer}.mlp"
    count = _experts(config, layer) if family.expert_width else 0
    if count:
        yield from _mixture(family, prefix, (count, hidden, int(config[family.expert_width])), bits)
        if family.shared_width:
            yield from _gated(f"{prefix}.shared_expert", int(config[family.shared_width]), hidden, False, bits)
            yield from _linear(f"{prefix}.shared_expert_gate", 1, hidden, False, bits)
        return
    yield from _gated(prefix, int(config["intermediate_size"]), hidden, bool(config.get("mlp_bias")), bits)


def _gated(prefix: str, width: int, hidden: int, biased: bool, bits: int) -> Iterator[Weight]:
    yield from _linear(f"{prefix}.gate_proj", width, hidden, biased, bits)
    yield from _linear(f"{prefix}.up_proj", width, hidden, biased, bits)
    yield from _linear(f"{prefix}.down_proj", hidden, width, biased, bits)


def _mixture(family: _Family, prefix: str, sizes: tuple[int, int, int], bits: int) -> Iterator[Weight]:
    """The router, and the experts in two parameters. Args: sizes: experts, width of the stream, width of one."""
    count, hidden, width = sizes
    yield Weight(f"{prefix}.{family.router}.weight", (count, hidden), "other", bits)
    if family.transposed:
        yield Weight(f"{prefix}.{family.router}.bias", (count,), "other", bits)
    for name, rows, columns in (("gate_up_proj", 2 * width, hidden), ("down_proj", hidden, width)):
        shape = (count, columns, rows) if family.transposed else (count, rows, columns)
        yield Weight(f"{prefix}.experts.{name}", shape, "experts", bits)
        if family.transposed:
            yield Weight(f"{prefix}.experts.{name}_bias", (count, rows), "other", bits)


def _experts(config: Mapping[str, Any], layer: int) -> int:
    """How many experts a layer has; 0 for one with a plain feed-forward network."""
    plain = layer in (config.get("mlp_only_layers") or ()) or (layer + 1) % (config.get("decoder_sparse_step") or 1)
    return 0 if plain else int(config.get("num_experts") or config["num_local_experts"])


def _linear(name: str, rows: int, columns: int, biased: bool, bits: int) -> Iterator[Weight]:
    yield Weight(f"{name}.weight", (rows, columns), "linear", bits)
    if biased:
        yield Weight(f"{name}.bias", (rows,), "other", bits)
