"""The weights of a model by the numbers of its config.json, with names and shapes as transformers has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.defaults import complete
from tunesmith_library_estimates.estimation import Weight
from tunesmith_library_estimates.forms import has_form, read

_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")  # what configurations call it
_NEEDED = ("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads")
_EITHER = frozenset({"llama4", "mllama", "qwen3_5", "qwen3_5_moe"})  # that have a class for their text alone
_MET = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts")


@dataclass(frozen=True)
class Decoder:
    """What an estimate needs to know of a model."""

    weights: tuple[Weight, ...]  # a tied output layer is not among them
    hidden_size: int
    vocabulary: int
    experts_per_token: int
    flops_per_token: float  # of a forward pass through the weights: two for each that a token of text meets
    flops_per_pair: float  # of attention, for each token that a token looks at: its key, and its value
    windows: Mapping[int, float] = field(default_factory=dict)  # of these, in layers that look back so many tokens
    taken_for: str = ""  # the model type whose form it was given, where its own is not known here


def decoder(config: Mapping[str, Any], bits: int, is_shown: bool = True) -> Decoder | None:
    """The weights of a model that writes text; of one that also sees or hears those of its towers, too.

    Args:
        config: what its config.json holds.
        bits: of a number in memory.
        is_shown: whether more than text is shown to it: without, some are loaded as their language model alone.

    Returns: None for an architecture that is not known here, and for a configuration that lacks a number.
    """
    if not is_shown and config.get("model_type") in _EITHER and "text_config" in config:
        config = config["text_config"]
    name = _form(config.get("model_type"))
    return None if name is None else _remembered(name, json.dumps(config, default=str), bits)


@lru_cache(maxsize=16)
def _remembered(name: str, config: str, bits: int) -> Decoder | None:
    """What was read before: a planner asks for the same model with each change that it tries."""
    return _read(name, json.loads(config), bits)


def likeness(config: Mapping[str, Any], bits: int) -> Decoder | None:
    """The weights of a model of an unknown architecture, as if its layers were Llama's, or Mixtral's or GLM's.

    Of one that also sees or hears the language model alone, whose own form may be known; of one that also speaks what
    thinks.

    Returns: None for a configuration that lacks the numbers of such layers.
    """
    if "thinker_config" in config:
        thinks = {**config["thinker_config"], "model_type": f"{config.get('model_type')}_thinker"}
        found = decoder(thinks, bits)
        return None if found is None else replace(found, taken_for=thinks["model_type"])
    text = complete(config.get("text_config") or config)
    if not all(text.get(key) for key in _NEEDED):
        return None
    if "text_config" in config and has_form(str(text.get("model_type"))):
        found = _read("any.whole", config, bits)
        return None if found is None else replace(found, taken_for=str(text["model_type"]))
    has_experts = any(isinstance(text.get(key), int) and text[key] > 1 for key in _COUNTS)
    form = "glm4_moe" if has_experts and text.get("moe_intermediate_size") else "llama"
    if has_experts and form == "llama":
        form = "mixtral"
    found = _read("causal", {**text, "model_type": form}, bits)
    return None if found is None else replace(found, taken_for=form)


def head_width(config: Mapping[str, Any]) -> int:
    """Of a head of attention; 0 where a configuration, which is complete, does not say."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    return int(config.get("head_dim") or (heads and hidden and hidden // heads) or 0)


def is_known(model_type: object) -> bool:
    """Whether the layers of this architecture are known here."""
    return _form(model_type) is not None


def experts_at(folder: Path) -> list[str]:
    """The names of the fused experts of a model in a folder, by its config.json; [] where it has none, or no such file.

    Of an architecture that is not known here they are called by what all of them have in their names.
    """
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found = decoder(config, 16)
    if found is not None:
        return [weight.name for weight in found.weights if weight.kind == "experts"]
    text = config.get("text_config") or config
    return ["experts"] if any(isinstance(text.get(key), int) and text[key] > 1 for key in _COUNTS) else []


def _form(model_type: object) -> str | None:
    """The block of a whole model: its own, or that of all language models."""
    for name in (f"{model_type}.whole", f"{model_type}.causal"):
        if has_form(name):
            return name
    return "causal" if isinstance(model_type, str) and has_form(model_type) else None


def _read(name: str, config: Mapping[str, Any], bits: int) -> Decoder | None:
    whole = complete(config)
    text = whole.get("text_config") if name.endswith(".whole") else whole
    try:
        found = read(name, whole)
        hidden, vocabulary = (int(text[key]) for key in ("hidden_size", "vocab_size"))  # type: ignore[index]
    except (TypeError, LookupError, ArithmeticError):
        return None
    weights = tuple(replace(weight, bits=bits) for weight in found.weights)
    experts = _experts_met(text, weights)  # type: ignore[arg-type]  # it is a mapping, by now
    flops = found.flops + 2.0 * (sum(_met(weight, experts) for weight in weights) + vocabulary * hidden)
    return Decoder(weights, hidden, vocabulary, experts, flops, found.pairs, found.windows)


def _experts_met(config: Mapping[str, Any], weights: tuple[Weight, ...]) -> int:
    if not any(weight.kind == "experts" for weight in weights):
        return 1
    found = next((config[key] for key in _MET if config.get(key)), 1)
    return max(found) if isinstance(found, list) else int(found)


def _met(weight: Weight, experts: int) -> int:
    """How many numbers of a weight within the layers a token of text is multiplied with; the output layer is apart."""
    if weight.stands_in != "language" or weight.kind == "head" or not weight.is_matrix:
        return 0
    return experts * weight.count // weight.shape[0] if weight.kind == "experts" else weight.count
