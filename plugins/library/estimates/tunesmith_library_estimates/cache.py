"""What a model that writes keeps of the tokens before: keys and values of attention, and states of other layers.

Attention in a window keeps the keys and values of its window, latent attention what it makes them of, a recurrent layer
a state of one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cache:
    """What the layers keep of one sequence, in numbers."""

    columns: tuple[tuple[int, int], ...] = ()  # of each layer: numbers of a token, tokens of its window; 0 is all
    states: float = 0.0  # numbers of all layers together, however long the sequence is
    context: int = 0  # tokens that the model was made for; 0 where nobody tells

    def numbers(self, length: int) -> float:
        """Of a sequence of so many tokens."""
        return self.states + sum(each * (min(length, window) if window else length) for each, window in self.columns)

    @property
    def per_token(self) -> int:
        """Numbers of one more token of a short sequence."""
        return sum(each for each, _ in self.columns)


@dataclass(frozen=True)
class Answers:
    """What is to be written together at most, by one process."""

    sequences: int = 0  # 0: nothing is written
    prompt: int = 0  # tokens
    tokens: int = 0  # of an answer
    in_step: int = 0  # of a training step, by one process; 0 where no step has any

    @property
    def length(self) -> int:
        """Tokens of a prompt with its answer."""
        return self.prompt + self.tokens


_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2}  # the last layer of so many sees everything
_NONE = frozenset({"mlp", "moe"})  # layers that keep nothing
_RECURRENT = frozenset({"linear_attention", "mamba", "mamba2", "conv", "recurrent"})


def cache_of(config: Mapping[str, Any]) -> Cache | None:
    """What the layers of a causal language model keep.

    Args:
        config: what the `config.json` of the language model holds, completed where it leaves out a number.

    Returns: None for a configuration that lacks a number, and for layers that are not known here.
    """
    try:
        kinds = _kinds(config)
        recurrent = sum(kind in _RECURRENT for kind in kinds)
        states = recurrent * _state(config) if recurrent else 0.0
        attending = [kind for kind in kinds if kind not in _RECURRENT | _NONE]
        attending = attending[: len(attending) - int(config.get("num_kv_shared_layers") or 0)]
        columns = tuple((_wide(config, kind), _window(config, kind)) for kind in attending)
    except (KeyError, TypeError, ValueError):
        return None
    return Cache(columns, states, int(config.get("max_position_embeddings") or 0))


def _kinds(config: Mapping[str, Any]) -> list[str]:
    """What each layer is, by transformers' names."""
    layers = int(config["num_hidden_layers"])
    told = config.get("layer_types")
    if told:
        return [str(kind) for kind in told]
    if config.get("full_attention_interval") and config.get("linear_num_value_heads"):
        every = int(config["full_attention_interval"])
        return ["linear_attention" if (layer + 1) % every else "full_attention" for layer in range(layers)]
    return list(_by_window(config, layers))


def _by_window(config: Mapping[str, Any], layers: int) -> Iterator[str]:
    """Attention in a window and without, where the configuration lists no layers."""
    pattern = config.get("sliding_window_pattern") or _PATTERNS.get(str(config.get("model_type")), 0)
    windowed = bool(config.get("sliding_window")) and config.get("use_sliding_window", True)
    first = int(config.get("max_window_layers") or 0) if "use_sliding_window" in config else 0
    for layer in range(layers):
        sees_all = not windowed or (pattern and (layer + 1) % int(pattern) == 0) or layer < first
        yield "full_attention" if sees_all else "sliding_attention"


def _window(config: Mapping[str, Any], kind: str) -> int:
    """Tokens whose keys and values are kept."""
    if kind == "sliding_attention":
        return int(config["sliding_window"])
    return int(config["attention_chunk_size"]) if kind == "chunked_attention" else 0


def _wide(config: Mapping[str, Any], kind: str) -> int:
    """Numbers of the keys and values of a token, of all heads; of latent attention what these are made of."""
    if config.get("kv_lora_rank"):
        return int(config["kv_lora_rank"]) + int(config["qk_rope_head_dim"])
    heads = int(config["num_attention_heads"])
    of_keys = int(config.get("num_key_value_heads") or heads)
    width = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    if kind == "full_attention":  # of models whose layers without a window are wider
        of_keys = int(config.get("num_global_key_value_heads") or of_keys)
        width = int(config.get("global_head_dim") or width)
    return 2 * of_keys * width


def _state(config: Mapping[str, Any]) -> float:
    """Numbers of one recurrent layer.

    Raises: KeyError for one that is not known here.
    """
    if config.get("linear_num_value_heads"):  # the gated delta rule (arXiv 2412.06464)
        keys = int(config["linear_num_key_heads"]) * int(config["linear_key_head_dim"])
        values = int(config["linear_num_value_heads"]) * int(config["linear_value_head_dim"])
        convolved = (2 * keys + values) * int(config["linear_conv_kernel_dim"])
        return float(convolved + values * int(config["linear_key_head_dim"]))
    if config.get("conv_L_cache"):  # short convolutions
        return float(int(config["hidden_size"]) * int(config["conv_L_cache"]))
    raise KeyError("the states of these layers")
