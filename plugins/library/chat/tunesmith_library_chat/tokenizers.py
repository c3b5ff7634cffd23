"""Where a model's processor keeps its tokenizer, and its chat template."""

from __future__ import annotations

from typing import Any


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer of a processor: the one that a multimodal model's processor carries, else the processor itself."""
    return getattr(processor, "tokenizer", processor)


def own_template(processor: Any) -> str | None:
    """The template of a processor or of its tokenizer.

    Where there are several by name, `default` serves, and `tool_use` conversations with tools.
    """
    tokenizer = tokenizer_of(processor)
    own: str | dict[str, str] | None = getattr(processor, "chat_template", None)
    own = own or getattr(tokenizer, "chat_template", None)
    if not isinstance(own, dict):
        return own or None
    default: str = own.get("default") or next(iter(own.values()))
    with_tools = own.get("tool_use", default)
    if with_tools == default:
        return default
    return f"{{% if tools %}}{with_tools.removesuffix(chr(10))}{{% else %}}{default.removesuffix(chr(10))}{{% endif %}}"
