"""Tiny models that see and hear: each family's own architecture and processor, random weights, no download.

A folder holds what a publisher's holds: weights, tokenizer with the family's special tokens, chat template, and the
files of the processor. They are written as data, so that a family whose processor does not load here has them too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith_library_testing import seeing_others, seeing_qwen, seeing_tiles
from tunesmith_library_testing.seeing_facts import SeeingFamily

FILES = {
    "image_processor": "preprocessor_config.json",
    "video_processor": "video_preprocessor_config.json",
    "feature_extractor": "preprocessor_config.json",
}
"""Where the parts of a processor are described, in folders as they are published."""

_TEXT = {
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048, "tie_word_embeddings": False},
}


def seeing_families() -> dict[str, SeeingFamily]:
    """All families by name, which is that of their model type in transformers."""
    return {**seeing_qwen.FAMILIES, **seeing_others.FAMILIES, **seeing_tiles.FAMILIES}


def save_seeing_model(folder: Path, family: str, *, dtype: str = "float32", seed: int = 0) -> Path:
    """Write a tiny model of a family with random weights, its tokenizer, chat template and processor.

    Args:
        folder: is made.
        family: one of `seeing_families()`.

    Returns: the folder.
    """
    import torch
    import transformers

    facts = seeing_families()[family]
    tokenizer = seeing_tokenizer(facts)
    config = _with_ids(facts.config, tokenizer)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {**_TEXT, "vocab_size": len(tokenizer), **ids}
    for owner in _owners_of_text(config):
        owner["text_config"] = {**text, **owner["text_config"]}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        described = transformers.AutoConfig.for_model(facts.model_type, **config)
        model = getattr(transformers, facts.model_class)(described)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    if dtype != "float32":
        model.to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.chat_template = chat_template_of(facts)
    tokenizer.save_pretrained(folder)
    _write_processor(folder, facts, tokenizer)
    return folder


def seeing_tokenizer(facts: SeeingFamily) -> Any:
    """A byte-level tokenizer with the special tokens of a family."""
    from transformers import PreTrainedTokenizerFast

    from tunesmith_library_testing.tiny import tiny_tokenizer

    plain = tiny_tokenizer()
    plain.add_special_tokens({"additional_special_tokens": list(facts.tokens)}, replace_extra_special_tokens=False)
    plain.add_tokens(list(facts.words))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer,
        **{name: getattr(plain, name) for name in ("bos_token", "eos_token", "pad_token")},
        extra_special_tokens=facts.named_tokens,
        clean_up_tokenization_spaces=False,
    )


def chat_template_of(facts: SeeingFamily) -> str:
    """The chat template: the family's turns, in which typed parts become its marks."""
    marks = json.dumps(facts.marks, ensure_ascii=False)
    return (
        "{%- macro content(message) -%}{%- if message.content is string -%}{{ message.content }}{%- else -%}"
        f"{{%- set marks = {marks} -%}}{{%- for part in message.content -%}}"
        "{{- part.text if part.type == 'text' else marks[part.type] -}}"
        "{%- endfor -%}{%- endif -%}{%- endmacro -%}" + facts.turns
    )


def _owners_of_text(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappings, at any depth, that have a `text_config`."""
    found = [config] if "text_config" in config else []
    return found + [owner for value in config.values() if isinstance(value, dict) for owner in _owners_of_text(value)]


def _with_ids(value: Any, tokenizer: Any) -> Any:
    """A copy in which tokens written as `@<token>` are their ids."""
    if isinstance(value, dict):
        return {key: _with_ids(each, tokenizer) for key, each in value.items()}
    if isinstance(value, str) and value.startswith("@"):
        return tokenizer.convert_tokens_to_ids(value[1:])
    return value


def _write_processor(folder: Path, facts: SeeingFamily, tokenizer: Any) -> None:
    """The files of the processor and of its parts, as publishers write them."""
    written: dict[str, dict[str, Any]] = {}
    for part, values in _with_ids(facts.parts, tokenizer).items():
        written.setdefault(FILES[part], {"processor_class": facts.processor_class}).update(values)
    written["processor_config.json"] = {
        "processor_class": facts.processor_class,
        **_with_ids(facts.processor, tokenizer),
    }
    for name, value in written.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
