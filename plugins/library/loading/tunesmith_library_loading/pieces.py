"""A piece of a model, made of its configuration alone with random weights, to see how long its parts take.

It is the beginning of the language model, as far as there is a layer of each kind. Of a wide model it is narrower by a
power of two: products are as fast for it, beyond some hundred columns. What sees or hears is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from tunesmith_library_training import attention, isolation, watching

LOOKED_AT = 12  # layers, among which all kinds are: configurations repeat them sooner
NARROWER = (1, 2, 4, 8, 16)
VOCABULARY = 8192  # tokens of the piece's; what an output layer takes is in proportion to them
LAYERS = 4  # of a piece, or as many as have one of each kind: more tell no more
WEIGHTS = 2**26  # numbers of a piece at most: 384 MiB in both types
EXPERTS = 4  # of a mixture, for each that a token meets: with all of them a short batch would give each few tokens
# What is divided by how much narrower it is; all else, such as the width of a head, stays.
_WIDTHS = (
    *("hidden_size", "intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size"),
    *("num_attention_heads", "num_key_value_heads", "linear_num_key_heads", "linear_num_value_heads"),
    *("mamba_d_ssm", "mamba_n_heads", "intermediate_size_mlp", "shared_intermediate_size", "embedding_size"),
    *("q_lora_rank", "kv_lora_rank"),
)
_TABLES = ("vocab_size", "vocab_size_per_layer_input")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_RANK = 8  # of the matrices beside a layer


class NoPiece(RuntimeError):
    """No piece of this model can be made here, and why."""


@dataclass(frozen=True)
class Piece:
    """Some layers of a model in fp32, and its output layer."""

    decoder: Any  # transformers' base model: embeddings, layers, last norm
    head: torch.nn.Linear
    layers: float  # how much longer the model's layers take
    vocabulary: float  # how much longer the model's output layer takes
    concatenated: bool  # whether its batches are one row of many sequences
    stateful: bool  # whether its layers go from token to token, which takes long without kernels made for it


def piece_of(described: Mapping[str, Any], most: float) -> Piece:
    """Make a piece.

    Args:
        described: a language model's configuration, as config.json has it.
        most: products of a token in it, beside those of the output layer.

    Raises: NoPiece.
    """
    if "auto_map" in described:
        raise NoPiece("the model comes with code of its own")
    try:
        config = AutoConfig.for_model(**dict(described))
        shortest = _shortest(config)
        narrower, products = _narrowest(config, shortest, most)
        total = int(config.num_hidden_layers)
        layers = min(total, shortest * max(1, min(int(most // products), LAYERS // shortest)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            decoder = _made(_cut(config, layers, narrower))
            tokens = decoder.get_input_embeddings().num_embeddings
            head = torch.nn.Linear(decoder.config.hidden_size, tokens, bias=False)
    except NoPiece:
        raise
    except Exception as error:  # whatever a configuration does to the arithmetic of a model's parts
        raise NoPiece(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error
    stateful = isolation.carries_state(decoder) is not None
    together = not stateful and watching.NAME in str(decoder.config._attn_implementation)
    of_layers, of_vocabulary = narrower**2 * total / layers, narrower * config.vocab_size / tokens
    return Piece(decoder, head, of_layers, of_vocabulary, concatenated=together, stateful=stateful)


def add_low_rank(decoder: Any) -> None:
    """Freeze a decoder, and put trained matrices of a low rank beside its linear layers, as LoRA does."""
    decoder.requires_grad_(False)
    decoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output.requires_grad_())
    for module in list(decoder.modules()):
        if type(module) is torch.nn.Linear:  # a router of its own class may give more than a tensor
            down = torch.nn.Parameter(torch.randn(_RANK, module.in_features) / module.in_features**0.5)
            up = torch.nn.Parameter(torch.zeros(module.out_features, _RANK))
            module.register_forward_hook(_beside(down, up))


def _beside(down: torch.nn.Parameter, up: torch.nn.Parameter) -> Any:
    def add(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + F.linear(F.linear(inputs[0], down), up)

    return add


def _shortest(config: Any) -> int:
    """The number of layers with which a model begins until each kind has been there, by weights and by type."""
    count = min(int(config.num_hidden_layers), LOOKED_AT)
    with torch.device("meta"):
        decoder = AutoModel.from_config(_cut(config, count, 1))
    named = [each for each in _cut(config, count, 1).to_dict().values() if _names_layers(each, count)]
    kinds = [(_kind(layer), *(each[place] for each in named)) for place, layer in enumerate(_layers(decoder, count))]
    return 1 + max(kinds.index(kind) for kind in set(kinds))


def _names_layers(value: Any, count: int) -> bool:
    """Whether a value of a configuration says of what kind each layer is."""
    return isinstance(value, list) and len(value) == count and all(isinstance(each, str) for each in value)


def _layers(decoder: Any, count: int) -> torch.nn.ModuleList:
    lists = (module for module in decoder.modules() if isinstance(module, torch.nn.ModuleList))
    found = next((each for each in lists if len(each) == count), None)
    if found is None:
        raise NoPiece("its layers are not found")
    return found


def _kind(layer: torch.nn.Module) -> tuple[Any, ...]:
    shapes = ((name, tuple(weight.shape)) for name, weight in layer.named_parameters())
    return (type(layer).__name__, *sorted(shapes))


def _narrowest(config: Any, layers: int, most: float) -> tuple[int, float]:
    """By how much a piece is narrower, so that it is within its bounds, and the products of a token in it."""
    for narrower in NARROWER:
        with torch.device("meta"):
            decoder = AutoModel.from_config(_cut(config, layers, narrower))
        weights = sum(weight.numel() for weight in decoder.parameters())
        products = _products(decoder)
        if products <= most and weights <= WEIGHTS:
            return narrower, products
    raise NoPiece("a layer of it is too large to be tried")


def _products(decoder: Any) -> float:
    """The multiplications of a token's way through the layers."""
    config, found = decoder.config, 0.0
    experts = next((getattr(config, name) for name in _EXPERTS if getattr(config, name, None)), 1)
    share = (getattr(config, "num_experts_per_tok", None) or 1) / experts
    for path, module in decoder.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.dim() > 1 and not isinstance(module, torch.nn.Embedding):
                found += weight.numel() * (share if ".experts" in f"{path}.{name}" else 1.0)
    return max(found, 1.0)


def _cut(config: Any, layers: int, narrower: int) -> Any:
    """A configuration with its first layers alone, of so much of the width, and with no more experts than it takes."""
    total = int(config.num_hidden_layers)
    described = {key: _of_first(value, layers, total) for key, value in config.to_dict().items()}
    met = getattr(config, "num_experts_per_tok", None) or 1
    changed = {"num_hidden_layers": layers}
    changed |= {name: min(int(getattr(config, name)), VOCABULARY) for name in _TABLES if _is_number(config, name)}
    changed |= {name: max(1, int(getattr(config, name)) // narrower) for name in _WIDTHS if _is_number(config, name)}
    if isinstance(described.get("intermediate_size"), list):
        described["intermediate_size"] = [max(1, int(width) // narrower) for width in described["intermediate_size"]]
    changed |= {name: min(getattr(config, name), EXPERTS * met) for name in _EXPERTS if _is_number(config, name)}
    if changed.get("num_key_value_heads"):
        heads, of_keys = changed["num_attention_heads"], changed["num_key_value_heads"]
        changed["num_key_value_heads"] = next(number for number in range(of_keys, 0, -1) if heads % number == 0)
    if layers < total and described.get("num_kv_shared_layers"):  # the last ones, with those before them
        changed["num_kv_shared_layers"] = 0
    described |= {config.attribute_map.get(name, name): value for name, value in changed.items()}
    for name in ("quantization_config", "dtype", "torch_dtype"):
        described.pop(name, None)
    none = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    return type(config).from_dict({**described, **none, "use_cache": False})


def _is_number(config: Any, name: str) -> bool:
    return type(getattr(config, name, None)) is int and getattr(config, name) > 0


def _of_first(value: Any, layers: int, total: int) -> Any:
    """What a configuration says of its layers one by one, by their order or by their numbers, of the first of them."""
    if isinstance(value, dict) and value and all(str(key).isdigit() for key in value):
        return {key: each for key, each in value.items() if int(key) < layers}
    if not isinstance(value, list) or not value:
        return value
    if all(type(each) is int and 0 <= each < total for each in value) and len(set(value)) == len(value):
        return [each for each in value if each < layers]
    return value[:layers] if len(value) == total else value


def _made(config: Any) -> Any:
    """A decoder in fp32, with the attention that training takes."""
    if attention.takes_attention(config):
        attention.register()
        decoder = AutoModel.from_config(config, dtype=torch.float32, attn_implementation=attention.NAME)
        watching.watch(decoder)
        return decoder
    return AutoModel.from_config(config, dtype=torch.float32)
