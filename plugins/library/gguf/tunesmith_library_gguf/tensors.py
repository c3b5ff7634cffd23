"""The tensors of a file: what each is called in llama.cpp, of which weights it is made, and how.

Nothing is read before a tensor is written, and then that one alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import torch
from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import Stored

from tunesmith_library_gguf.families import Family, head_size, rope_of

Read = Callable[[str], torch.Tensor]
Array = np.ndarray[Any, np.dtype[Any]]

_EXPERT = re.compile(r"model\.layers\.(\d+)\.(?:block_sparse_moe|mlp)\.experts\.(\d+)\.(\w+)\.weight")
_FUSED = re.compile(r"model\.layers\.(\d+)\.(?:block_sparse_moe|mlp)\.experts\.(gate_up_proj|down_proj)")
_PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}  # Mixtral's names for what others call
_COMPUTED = ("rotary_emb.inv_freq", ".masked_bias")  # buffers that a program computes for itself


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file."""

    name: str  # llama.cpp's
    shape: tuple[int, ...]  # as torch has it: rows first
    sources: tuple[str, ...]  # the weights of the model that it holds; () of one that is computed
    make: Callable[[Read], torch.Tensor]

    @property
    def experts(self) -> bool:
        """Whether it holds the weights of all experts of a layer."""
        return len(self.shape) == 3


@dataclass(frozen=True)
class Layout:
    """Every weight of a model: in which tensor it goes, or that it goes in none."""

    tensors: tuple[Tensor, ...]
    left: tuple[str, ...]  # of a part that is not the language model
    computed: tuple[str, ...]  # that llama.cpp computes for itself, or holds once where the model has it twice


def layout(stored: Mapping[str, Stored], config: Mapping[str, Any], family: Family) -> Layout:
    """Plan the tensors of a file.

    Args:
        stored: the weights of the model's folder, of which the heads alone are read.
        config: of the language model, with transformers' defaults.

    Raises: TunesmithError when a weight has no place in llama.cpp's architecture, or one is missing.
    """
    names = Names(config, family)
    left = [name for name in stored if name.removeprefix("model.").startswith(family.towers or ("\0",))]
    computed = [name for name in stored if name.endswith(_COMPUTED)]
    tied = bool(config.get("tie_word_embeddings")) or family.output == "tied"
    heads = [name for name in stored if name.endswith("lm_head.weight")]
    computed += heads if tied else []
    rest = {name: stored[name] for name in stored if name not in {*left, *computed}}
    tensors = [*_extra(config, family), *_experts(rest, names), *_plain(rest, names, config, family)]
    if tied and family.output == "own":  # an architecture without tied embeddings holds them twice
        embeddings = next(tensor for tensor in tensors if tensor.name == "token_embd.weight")
        tensors.append(Tensor("output.weight", embeddings.shape, (), embeddings.make))
    _refuse_lost(tensors, names)
    return Layout(tuple(tensors), tuple(left), tuple(computed))


class Names:
    """llama.cpp's names of an architecture's tensors, by transformers' names of the weights."""

    def __init__(self, config: Mapping[str, Any], family: Family) -> None:
        self.layers = int(config["num_hidden_layers"])
        self.architecture = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family.architecture)
        self._map = gguf.get_tensor_name_map(self.architecture, self.layers)

    def __call__(self, name: str, original: str) -> str:
        """Raises: TunesmithError for a weight that the architecture does not have."""
        found = self._map.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            kind = gguf.MODEL_ARCH_NAMES[self.architecture]
            raise TunesmithError(
                f"{original} has no place in llama.cpp's architecture {kind}, so that it would be lost.\n"
                "  nothing was written"
            )
        return found


def _plain(stored: Mapping[str, Stored], names: Names, config: Mapping[str, Any], family: Family) -> Iterator[Tensor]:
    for original, held in stored.items():
        name = plain_name(original)
        if not (_EXPERT.fullmatch(name) or _FUSED.match(name)):
            make = _changed(original, name, config, family)
            yield Tensor(names(name, original), held.shape, (original,), make)


def plain_name(name: str) -> str:
    """The name of a weight as a model has it that is nothing but a language model."""
    return name.replace("language_model.", "")


def _changed(original: str, name: str, config: Mapping[str, Any], family: Family) -> Callable[[Read], torch.Tensor]:
    """How a weight becomes a tensor of the file."""
    heads = int(config["num_attention_heads"])
    of_keys = int(config.get("num_key_value_heads") or heads)
    if family.interleaved and re.search(r"\b[qk]_proj\.(weight|bias)$", name):
        count = heads if "q_proj" in name else of_keys
        return lambda read: interleaved(read(original), count)
    if family.norm_offset and name.endswith("norm.weight"):
        return lambda read: read(original).float() + family.norm_offset
    return lambda read: read(original)


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of queries or keys, so that the two numbers that are rotated together are neighbours.

    Args:
        weight: (heads * D, …), the first half of each head's D rows to be rotated with the second.
    """
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def _experts(stored: Mapping[str, Stored], names: Names) -> Iterator[Tensor]:
    """The experts of a layer are one tensor, whether the model has one for each or has them fused."""
    found: dict[tuple[int, str], dict[int, str]] = {}
    for original in stored:
        name = plain_name(original)
        if match := _EXPERT.fullmatch(name):
            layer, expert, part = match.groups()
            found.setdefault((int(layer), _PARTS.get(part, part)), {})[int(expert)] = original
        elif match := _FUSED.match(name):
            yield from _fused(original, int(match[1]), match[2], stored[original].shape, names)
    for (layer, part), by_expert in found.items():
        sources = tuple(by_expert[expert] for expert in sorted(by_expert))
        shape = (len(sources), *stored[sources[0]].shape)
        name = names(f"model.layers.{layer}.mlp.experts.{part}.weight", sources[0])
        yield Tensor(name, shape, sources, _stacked(sources))


def _stacked(sources: tuple[str, ...]) -> Callable[[Read], torch.Tensor]:
    return lambda read: torch.stack([read(name) for name in sources])


def _fused(original: str, layer: int, part: str, shape: tuple[int, ...], names: Names) -> Iterator[Tensor]:
    """Of (experts, 2 * width, in) the first half of the rows is the gate, the second what it gates."""
    place = f"model.layers.{layer}.mlp.experts"
    if part == "down_proj":
        yield Tensor(names(f"{place}.down_proj.weight", original), shape, (original,), lambda read: read(original))
        return
    width = shape[1] // 2
    half = (shape[0], width, shape[2])
    gate, up = (names(f"{place}.{name}.weight", original) for name in ("gate_proj", "up_proj"))
    yield Tensor(gate, half, (original,), lambda read: read(original)[:, :width])
    yield Tensor(up, half, (original,), lambda read: read(original)[:, width:])


def _extra(config: Mapping[str, Any], family: Family) -> Iterator[Tensor]:
    """What a configuration says and llama.cpp has as tensors: factors by which frequencies of positions are divided."""
    rope = rope_of(config)
    if rope.get("rope_type") == "llama3":
        factors = {"rope_freqs.weight": llama3_factors(rope, head_size(config))}
    elif family.architecture == "phi3" and rope.get("long_factor"):
        factors = {f"rope_factors_{part}.weight": rope[f"{part}_factor"] for part in ("long", "short")}
    else:
        factors = {}
    for name, values in factors.items():
        tensor = torch.tensor(values, dtype=torch.float32)
        yield Tensor(name, tuple(tensor.shape), (), _given(tensor))


def _given(tensor: torch.Tensor) -> Callable[[Read], torch.Tensor]:
    return lambda read: tensor


def llama3_factors(rope: Mapping[str, Any], dimensions: int) -> list[float]:
    """By what Llama 3 divides each frequency: nothing for the fast ones, `factor` for the slow ones, between them both.

    Source: the Llama 3.1 release, as transformers computes `rope_type: llama3`.
    """
    factor, base = float(rope["factor"]), float(rope.get("rope_theta") or 10000.0)
    slow, fast = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    length = float(rope["original_max_position_embeddings"])
    found = []
    for frequency in 1.0 / (base ** (torch.arange(0, dimensions, 2, dtype=torch.float32) / dimensions)):
        wavelength = 2 * math.pi / float(frequency)
        smooth = min(max((length / wavelength - slow) / (fast - slow), 0.0), 1.0)
        found.append(1.0 / ((1.0 - smooth) / factor + smooth))
    return found


def _refuse_lost(tensors: Iterable[Tensor], names: Names) -> None:
    """Raises: TunesmithError when a layer, or what every model has, is missing."""
    have = {tensor.name for tensor in tensors}
    wanted = {"token_embd.weight", "output_norm.weight"}
    wanted |= {f"blk.{layer}.attn_norm.weight" for layer in range(names.layers)}
    lost = sorted(wanted - have)
    if lost:
        raise TunesmithError(f"the model lacks weights that llama.cpp needs: {', '.join(lost[:3])}")
