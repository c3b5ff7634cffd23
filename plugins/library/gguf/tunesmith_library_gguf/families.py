"""What sets the architectures apart that are written here, as llama.cpp computes them: one row each.

The names are transformers' model types. What llama.cpp cannot compute as the configuration asks for is refused here,
before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith import TunesmithError
from tunesmith.errors import choices

INSTEAD = "exporter=merged writes the model for transformers and vLLM"


@dataclass(frozen=True)
class Family:
    """How one architecture is written."""

    architecture: str  # llama.cpp's name
    interleaved: bool = False  # rotary pairs are neighbours, so that the rows of queries and keys change places
    norm_offset: int = 0  # what is added to the weights of norms, which llama.cpp multiplies with as they are
    experts: Literal["", "renormalised", "plain"] = ""  # how the weights of the chosen experts are taken; "" of none
    output: Literal["own", "either", "tied"] = "either"  # which output layers it computes: tied is the embeddings
    activations: tuple[str, ...] = ("silu", "swish")
    scalings: tuple[str, ...] = ("default", "linear", "yarn")  # of rotary positions
    pattern: int = 0  # every so-many-th layer attends to everything, the others to a window; 0: there are no windows
    large: int = 0  # with so many layers attention is scaled by hidden size and heads instead of the heads' size
    towers: tuple[str, ...] = ()  # what names of tensors begin with that are not the language model's


_GELU = ("gelu_pytorch_tanh", "gelu")
_VISION = ("vision_tower.", "multi_modal_projector.", "vision_model.")
_LLAMA = Family("llama", interleaved=True, scalings=("default", "linear", "yarn", "llama3"))

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": replace(_LLAMA, experts="renormalised"),
    "qwen2": Family("qwen2"),
    "qwen2_moe": Family("qwen2moe", experts="plain", output="own"),
    "qwen3": Family("qwen3"),
    "qwen3_moe": Family("qwen3moe", experts="renormalised"),
    "gemma": Family("gemma", norm_offset=1, output="tied", activations=_GELU),
    "gemma2": Family("gemma2", norm_offset=1, output="tied", activations=_GELU, pattern=2, large=46),
    "gemma3_text": Family("gemma3", norm_offset=1, activations=_GELU, pattern=6, large=62),
    "gemma3": Family("gemma3", norm_offset=1, activations=_GELU, pattern=6, large=62, towers=_VISION),
    "phi3": Family("phi3", scalings=("default", "longrope")),
}


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The row of a model, by its config.json; None for an architecture that is not written here."""
    return FAMILIES.get(str(config.get("model_type")))


def unknown(config: Mapping[str, Any]) -> str:
    """What is wrong with a model of an architecture that is not written here, and what is possible."""
    kind = str(config.get("model_type"))
    return f"models of type {kind} are not written as GGUF here.\n{choices(kind, FAMILIES, 'these are')}"


def refuse(config: Mapping[str, Any], family: Family) -> None:
    """Raises: TunesmithError that lists what llama.cpp would compute otherwise than the model does.

    Args:
        config: of the language model, with transformers' defaults.
    """
    found = list(otherwise(config, family))
    if found:
        raise TunesmithError(
            f"llama.cpp computes {family.architecture} otherwise than this model:\n"
            + "\n".join(f"  {line}" for line in found)
            + f"\n  nothing was written; {INSTEAD}"
        )


def otherwise(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    """What llama.cpp would compute otherwise than a model does, in words.

    Args:
        config: of the language model. What it leaves out is not judged.
    """
    activation = config.get("hidden_activation") or config.get("hidden_act") or family.activations[0]
    if activation not in family.activations:
        yield f"the activation is {activation}, and {family.activations[0]} there"
    kind = rope_of(config).get("rope_type", "default")
    if kind not in family.scalings:
        yield f"rotary positions are scaled by rope_type={kind}; {', '.join(family.scalings)} are known there"
    if family.output == "tied" and not config.get("tie_word_embeddings", True):
        yield "the output layer is another than the embeddings, and the same there"
    yield from _experts(config, family)
    yield from _attention(config, family)


def _experts(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    if not family.experts:
        return
    renormalised = bool(config.get("norm_topk_prob", family.experts == "renormalised"))
    if renormalised != (family.experts == "renormalised"):
        yield f"norm_topk_prob is {renormalised}, and {not renormalised} there"
    if config.get("mlp_only_layers") or int(config.get("decoder_sparse_step") or 1) != 1:
        yield "some layers have no experts (mlp_only_layers, decoder_sparse_step), and all have them there"


def _attention(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    """How the heads of Gemma are scaled is no number of a GGUF file, but follows from others."""
    asked = config.get("query_pre_attn_scalar")
    if asked is None or not family.norm_offset:
        return
    large = family.large and int(config["num_hidden_layers"]) == family.large
    there = config["hidden_size"] // config["num_attention_heads"] if large else head_size(config)
    if not math.isclose(float(asked), float(there)):
        yield f"query_pre_attn_scalar is {asked}, and {there} there"


def unapplied(config: Mapping[str, Any], family: Family) -> Iterator[str]:
    """What llama.cpp leaves out that only shows beyond a certain length, in words."""
    window = config.get("sliding_window")
    if window and not family.pattern and config.get("use_sliding_window", True):
        yield f"a token attends to all before it, not only to the last {window} (sliding_window)"


def rope_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """How positions of full attention are rotated; {} where a model says nothing of it."""
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    found = dict(said.get("full_attention", said))
    if "type" in found:
        found.setdefault("rope_type", found["type"])
    return found


def head_size(config: Mapping[str, Any]) -> int:
    """The width of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
