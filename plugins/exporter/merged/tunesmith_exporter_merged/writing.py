"""The parts of an exported folder: weights in their numbers, the tokenizer with its template, what ends an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tunesmith import TunesmithError, announce
from tunesmith.types import ChatTemplate, ModelHandle
from tunesmith_library_chat import tokenizer_of

_HEADER_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json, {} where there is none."""
    file = folder / "config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return config


def base_dtype(folder: Path) -> str:
    """The numbers of a checkpoint's weights: what its config.json says, else what its first weights file holds."""
    config = read_config(folder)
    for part in (config, config.get("text_config") or {}):
        named = part.get("dtype") or part.get("torch_dtype")
        if named in _HEADER_NAMES.values():
            return str(named)
    return next(_dtypes_in_files(folder), "float32")


def _dtypes_in_files(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a mapping)
                found = _HEADER_NAMES.get(weights.get_slice(name).get_dtype())
                if found:
                    yield found


def cast(model: Any, dtype: str) -> None:
    """Round the weights to `dtype`, in place. Buffers stay: rotary frequencies must not be rounded.

    Raises: TunesmithError when a weight is too large for float16.
    """
    target = getattr(torch, dtype)
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        parameter.data = parameter.data.to(target)
        if target is torch.float16 and not parameter.isfinite().all():
            raise TunesmithError(f"{name} holds values beyond float16's 65504.\n  exporter.dtype=bfloat16")


def save(model: Any, handle: ModelHandle, folder: Path, max_shard_size: str) -> None:
    """Write the weights, their configuration and the tokenizer."""
    untie(model)
    set_endings(model, handle.template, handle.processor)
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    set_template(handle.processor, handle.template)
    handle.processor.save_pretrained(folder)


def untie(model: Any) -> None:
    """Let config.json say so when head and embeddings are no longer one tensor (a head that was trained apart)."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    config = model.config.get_text_config()
    if head is not None and getattr(config, "tie_word_embeddings", False) and head.weight is not embeddings.weight:
        config.tie_word_embeddings = model.config.tie_word_embeddings = False
        announce("tie_word_embeddings", False, "the output head was trained apart")


def set_endings(model: Any, template: ChatTemplate, processor: Any) -> None:
    """Let the template's stop strings that are one token end an answer wherever the exported model is served."""
    config = getattr(model, "generation_config", None)
    if config is None:
        return
    tokenizer = tokenizer_of(processor)
    own = config.eos_token_id
    ends = [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id]
    for string in template.stop:
        ids = tokenizer.encode(string, add_special_tokens=False)
        ends += ids if len(ids) == 1 else []
    config.eos_token_id = list(dict.fromkeys(index for index in ends if index is not None)) or None
    try:
        config.validate(strict=True)
    except ValueError:
        config.do_sample = True
        announce("do_sample", True, "generation_config.json has values for drawing tokens, and is not saved without it")


def set_template(processor: Any, template: ChatTemplate) -> None:
    """Let the tokenizer carry the template that was trained."""
    for carrier in {id(part): part for part in (processor, tokenizer_of(processor))}.values():
        carrier.chat_template = standalone(template, carrier)


def standalone(template: ChatTemplate, processor: Any) -> str:
    """The template for programs that know nothing of its variables: their values become defaults in front of it.

    Special tokens are left out: every program gives the tokenizer's own.
    """
    tokenizer = tokenizer_of(processor)
    theirs = {name: getattr(tokenizer, name, None) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    ours = {name: value for name, value in template.variables.items() if value != theirs.get(name)}
    defaults = [
        f"{{% if {name} is not defined %}}{{% set {name} = {_literal(value)} %}}{{% endif %}}"
        for name, value in ours.items()
    ]
    # A template that begins with a line break keeps it behind an expression; behind a statement Jinja trims it.
    return "".join([*defaults, "{{ '' }}", template.exported]) if defaults else template.exported


def _literal(value: Any) -> str:
    """A value as Jinja writes it; JSON but for its three words."""
    words = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
