"""What a served model needs to know of its chats: what ends an answer, and the template that was trained."""

from __future__ import annotations

from typing import Any

from tunesmith import announce
from tunesmith.types import ChatTemplate
from tunesmith_library_chat import tokenizer_of


def untie(model: Any) -> None:
    """Let config.json say so when head and embeddings are no longer one tensor (a head that was trained apart)."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    config = model.config.get_text_config()
    if head is not None and getattr(config, "tie_word_embeddings", False) and head.weight is not embeddings.weight:
        config.tie_word_embeddings = model.config.tie_word_embeddings = False
        announce("tie_word_embeddings", False, "the output head was trained apart")


def set_endings(model: Any, template: ChatTemplate, processor: Any) -> None:
    """Let the template's stop strings that are one token end an answer wherever the model is served."""
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
        carrier.chat_template = template.exported
