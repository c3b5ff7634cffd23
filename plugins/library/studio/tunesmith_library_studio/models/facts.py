"""What a model's folder says of it: architecture, parameters, numbers, context; from heads of files, without torch."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_LONGEST = 100_000_000  # bytes of a head, as safetensors has it
_SHORT = 4_000_000  # bytes of a JSON file that is read
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "F8_E4M3": "float8"}


def facts_of(folder: Path) -> dict[str, Any]:
    """What can be told of a model, an adapter or a file at once; what is not known is left out.

    Args:
        folder: of a model or an adapter, or a GGUF file.

    Returns: of `architecture`, `model_type`, `parameters`, `dtype`, `context` (tokens), `quantized` (how, in how many
        bits), `base`, `rank`, `size` (bytes of the weights), `licence`, `template`, `modified` (seconds since 1970).
    """
    files = [folder] if folder.is_file() else sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)
    stamps = tuple((str(file), *_stamp(file)) for file in (*files, *_told(folder)) if file.is_file())
    return dict(_facts(str(folder), stamps))


@functools.lru_cache(maxsize=4096)
def _facts(path: str, stamps: tuple[tuple[str, int, int], ...]) -> Mapping[str, Any]:
    folder = Path(path)
    files = [(Path(file), size) for file, _, size in stamps if file.endswith(_WEIGHTS)]
    found: dict[str, Any] = {
        "size": sum(size for _, size in files),
        "modified": max((changed for _, changed, _ in stamps), default=0) / 1e9,
    }
    adapter = _json(folder / "adapter_config.json")
    if adapter:
        found |= {"base": adapter.get("base_model_name_or_path"), "rank": adapter.get("r")}
    found |= _of_config(_json(folder / "config.json"))
    found |= _of_weights([file for file, _ in files if file.suffix == ".safetensors"], bool(found.get("quantized")))
    if not adapter and folder.is_dir():
        found |= {"licence": _licence(folder / "README.md"), "template": _has_template(folder)}
    return {key: value for key, value in found.items() if value is not None}


def _of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    inside = config.get("text_config") or config.get("llm_config") or config
    inside = inside if isinstance(inside, Mapping) else config
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length")
    return {
        "architecture": next(iter(config.get("architectures") or ()), None),
        "model_type": config.get("model_type"),
        "context": next((inside[name] for name in names if isinstance(inside.get(name), int)), None),
        "quantized": quantized(config.get("quantization_config")),
    }


def quantized(said: Any) -> str | None:
    """How a model is stored in few bits, in a word: `gptq 4 bit`."""
    if not isinstance(said, Mapping):
        return None
    method = str(said.get("quant_method") or "quantised")
    bits = said.get("bits") or said.get("w_bit") or (4 if said.get("load_in_4bit") else None)
    bits = bits or (8 if said.get("load_in_8bit") or "fp8" in method else None)
    return f"{method} {bits} bit" if bits else method


def _of_weights(files: list[Path], packed: bool) -> dict[str, Any]:
    """Parameters and numbers by the heads of safetensors files; packed weights have no count of their own."""
    counts: dict[str, int] = {}
    for file in files:
        for tensor in _tensors(file):
            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + math.prod(tensor["shape"])
    if not counts:
        return {}
    most = max(counts, key=lambda dtype: counts[dtype])
    return {"dtype": _DTYPES.get(most, most.lower()), "parameters": None if packed else sum(counts.values())}


def _tensors(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(length)) if length <= _LONGEST else {}
    except (OSError, ValueError):  # whoever loads it says what is wrong
        return
    for name, tensor in head.items():
        if name != "__metadata__":
            yield tensor


def _licence(card: Path) -> str | None:
    """What the head of a model's card says."""
    try:
        with card.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(4000)
    except OSError:
        return None
    found = re.match(r"---\n.*?^license:[ \t]*(\S+)", head, re.DOTALL | re.MULTILINE)
    return found[1].strip("\"'") if found and "\n---" not in found[0][3:] else None


def _has_template(folder: Path) -> str | None:
    """`own` where the folder brings a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return "own"
    return "own" if "chat_template" in _json(folder / "tokenizer_config.json") else None


def _told(folder: Path) -> list[Path]:
    names = ("config.json", "adapter_config.json", "README.md", "tokenizer_config.json", "chat_template.jinja")
    return [folder / name for name in names]


def _stamp(file: Path) -> tuple[int, int]:
    state = os.stat(file)
    return state.st_mtime_ns, state.st_size


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _SHORT:
            return {}
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
