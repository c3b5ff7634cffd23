"""What a GGUF file costs, by the numbers in its head; read without llama.cpp."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith import TunesmithError
from tunesmith_library_estimates.architectures import likeness
from tunesmith_library_estimates.cache import Cache, cache_of
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_llamacpp.files import gguf_file

_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TOKENS = "tokenizer.ggml.tokens"
_NAMES = {  # what config.json calls a number that stands behind the architecture's name
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "vocab_size": "vocab_size",
}


def estimate_file(estimate: Estimate, path: str, name: str | None) -> Estimate:
    """Put the weights of a file into an estimate: they take what the file takes.

    Args:
        path: the file, or its folder.
        name: of the file in the folder.
    """
    try:
        file = gguf_file(Path(path).expanduser(), name)
        config = config_of(file)
    except (TunesmithError, OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        return estimate.without(f"the model: {str(error).splitlines()[0]}")
    found = likeness(config, 16)
    if found is None:
        return estimate.without(f"the model: the head of {file.name} lacks the numbers of its layers")
    bits = 8 * file.stat().st_size / sum(weight.count for weight in found.weights)
    return replace(
        estimate,
        weights=tuple(replace(weight, bits=bits) for weight in found.weights),
        hidden_size=found.hidden_size,
        vocabulary=found.vocabulary,
        experts_per_token=found.experts_per_token,
        flops_per_token=found.flops_per_token,
        flops_per_pair=found.flops_per_pair,
        cache=cache_of(config) or Cache(),
    )


def config_of(file: Path) -> dict[str, Any]:
    """The numbers of a file's head, under the names that a config.json has for them.

    Raises: EOFError or struct.error for a file that is cut off, or no GGUF file.
    """
    with file.open("rb") as stream:
        magic, _, _, count = struct.unpack("<4sIQQ", stream.read(24))
        if magic != b"GGUF":
            raise EOFError(f"{file} is not a GGUF file")
        said = dict(_pairs(stream, count))
    prefix = f"{said.get('general.architecture')}."
    inside = {name.removeprefix(prefix): value for name, value in said.items()}
    config = {_NAMES[name]: value for name, value in inside.items() if name in _NAMES}
    return {"vocab_size": said.get(_TOKENS), **config}


def _pairs(stream: BinaryIO, count: int) -> Iterator[tuple[str, Any]]:
    """What the head says up to the list of tokens, of which it is how many there are; other lists are left out."""
    for _ in range(count):
        name = _text(stream).decode()
        kind = _number(stream, "I")
        if kind != _ARRAY:
            yield name, _text(stream).decode() if kind == _STRING else _number(stream, _NUMBERS[kind])
            continue
        inside, length = _number(stream, "I"), _number(stream, "Q")
        if name == _TOKENS:
            yield name, length
            return
        for _ in range(length):
            if inside == _STRING:
                _text(stream)
            else:
                _number(stream, _NUMBERS[inside])


def _number(stream: BinaryIO, form: str) -> Any:
    return struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))[0]


def _text(stream: BinaryIO) -> bytes:
    return stream.read(_number(stream, "Q"))
