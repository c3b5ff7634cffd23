"""A result's config.json and generation_config.json: the base's, with what the run changed.

What transformers writes for a loaded model describes the class that was loaded, in the words of its own version. Other
programs read the base's file, so that one is kept, unknown fields and all, and only differences are put into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from tunesmith.messages import logger

from tunesmith_library_publishing.inventory import read_json
from tunesmith_library_publishing.naming import published_class

# What is said of every file anew, and what a loop asks of a model for the time of the training.
_FILE = ("_name_or_path", "name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
_IGNORED = frozenset({*_FILE, "use_cache", "output_router_logits"})
# What a model with a text part reads from its own configuration, and not from that part's.
_OUTER = ("tie_word_embeddings", "id2label", "label2id", "problem_type", "pad_token_id")
# The older words for what is one mapping now; both together would contradict each other.
_FORMER = {"rope_parameters": ("rope_scaling", "rope_theta")}


def write_config(model: Any, base: Path, folder: Path, dtype: str) -> None:
    """Write config.json: the base's with the changes of the run, its class, and the numbers of the weights.

    Args:
        dtype: of most weights, as torch names it.
    """
    raw = read_json(base / "config.json")
    raw["architectures"] = [class_name(model, base)]
    key = _part_key(model.config, raw)
    for part in (raw, raw[key]) if key else (raw,):
        said = [name for name in ("dtype", "torch_dtype") if name in part]
        part |= dict.fromkeys(said or (["dtype"] if part is raw else []), dtype)
    if getattr(model.config, "quantization_config", None) is None:  # it holds in full what its base stored in few bits
        raw.pop("quantization_config", None)
    now = _described(model.config)
    _apply(_described(_read(model, base)), now, raw, raw[key] if key else raw)
    _write(folder / "config.json", raw)
    if _described(_read(model, folder)) != now:
        logger.warning("config.json is written in the words of transformers %s", transformers.__version__)
        _write(folder / "config.json", {**raw, key: model.config.to_dict()} if key else _own(model, raw))


def class_name(model: Any, base: Path) -> str:
    """The class of a result: the base's, or for a model of another task (a reward model) the one of that task."""
    said = read_json(base / "config.json")
    if "auto_map" in said and model.can_generate():  # code that came with the model; its class is not transformers'
        return str(next(iter(said.get("architectures") or ()), type(model).__name__))
    return published_class(base, type(model)).__name__.removeprefix("FSDP")  # of a model that `fully_shard` spread


def write_generation_config(model: Any, base: Path, folder: Path) -> None:
    """Write generation_config.json, for a model that writes: the base's with what was changed."""
    config = getattr(model, "generation_config", None)
    if config is None or not model.can_generate():
        return
    raw = read_json(base / "generation_config.json")
    if not raw:
        config.save_pretrained(folder)
        return
    before, now = type(config).from_pretrained(base).to_dict(), config.to_dict()
    changed = {name: value for name, value in now.items() if name not in before or before[name] != value}
    gone = {name for name in before if name not in now}
    kept = {name: value for name, value in raw.items() if name not in gone}
    _write(folder / "generation_config.json", kept | {key: changed[key] for key in changed.keys() - _IGNORED})


def config_differences(model: Any, folder: Path) -> list[str]:
    """How the configuration that a folder gives a model differs from the one that it has, by key; [] where nothing
    does, and where the folder's is in words of its own that transformers does not read."""
    try:
        said, now = _described(_read(model, folder)), _described(model.config)
    except (OSError, ValueError) as error:
        return [f"config.json cannot be read: {error}"]
    names = sorted(name for name in said.keys() | now.keys() if said.get(name) != now.get(name))
    return [f"config.json says {name}={said.get(name)!r}, and the model has {now.get(name)!r}" for name in names]


def _read(model: Any, folder: Path) -> Any:
    return type(model.config).from_pretrained(folder)


def _described(config: Any) -> dict[str, Any]:
    return _without_ignored(json.loads(json.dumps(config.to_dict(), default=str)))


def _without_ignored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_ignored(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in _IGNORED
    }


def _part_key(config: Any, raw: Mapping[str, Any]) -> str | None:
    """Where in a published configuration the loaded one stands; None when it is the whole."""
    key = getattr(config, "base_config_key", "")
    return key if key and raw.get("model_type") != config.model_type and isinstance(raw.get(key), dict) else None


def _apply(before: Mapping[str, Any], now: Mapping[str, Any], raw: dict[str, Any], part: dict[str, Any]) -> None:
    """Put what differs into the published values; those of parts of a configuration into these parts."""
    for name, value in now.items():
        was: Any = before.get(name)
        if name in before and was == value:
            continue
        if _is_config(was) and isinstance(value, dict) and isinstance(part.get(name), dict):
            _apply(was, value, raw, part[name])
            continue
        part[name] = value
        for former in _FORMER.get(name, ()):
            part.pop(former, None)
        if name in _OUTER:
            raw[name] = value
    for name in before.keys() - now.keys():
        part.pop(name, None)


def _is_config(value: Any) -> bool:
    """Whether a value is the configuration of a part of the model."""
    return isinstance(value, dict) and "model_type" in value


def _own(model: Any, raw: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' words for a configuration, and what it does not know of."""
    own = {name: value for name, value in model.config.to_dict().items() if name not in _IGNORED}
    return {**raw, **own}


def _write(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
