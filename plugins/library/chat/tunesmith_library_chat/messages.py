"""Messages in the form that chat templates read."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.types import Message

_READS_PARTS = re.compile(r"\bfor\s+\w+\s+in\s+[\w\[\]'\".]*content\b|content(['\"]\])?\[\d")

ContentForm = Literal["text", "parts", "either"]


def canonical(message: Message, form: ContentForm) -> Message:
    """A message as published templates expect it; the caller's message is left as it is.

    Reasoning under every name it is read by, tool arguments as mappings, no empty `tool_calls`, text for text.
    """
    if "role" not in message:
        raise DataError(f"a message has no role; it has: {', '.join(message)}")
    changed = dict(message)
    reasoning = next((message[key] for key in ("reasoning", "reasoning_content", "thinking") if message.get(key)), None)
    if reasoning is not None:
        changed.update(reasoning=reasoning, reasoning_content=reasoning, thinking=reasoning)
    if message.get("tool_calls"):
        changed["tool_calls"] = [_parsed(call) for call in message["tool_calls"]]
    else:
        changed.pop("tool_calls", None)
    content = message.get("content")
    if message["role"] not in ("user", "assistant") and isinstance(content, list) and _is_text(content):
        content = content_in(content, "text")  # which templates write as data, or but the first part of
    changed["content"] = content_in("" if content is None else content, form)
    return changed


def content_in(content: str | list[dict[str, Any]], form: ContentForm) -> str | list[dict[str, Any]]:
    """A message's content in the form that a template reads."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if form == "parts" else content
    if form != "text":
        return content
    other = sorted({str(part.get("type")) for part in content} - {"text"})
    if other:
        raise DataError(f"this chat template writes text only, and a message holds {', '.join(other)}")
    return "".join(part["text"] for part in content)


def _is_text(content: list[dict[str, Any]]) -> bool:
    return all(part.get("type") == "text" and isinstance(part.get("text"), str) for part in content)


def _parsed(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool call whose arguments are a mapping: OpenAI's wire format has them as JSON text, templates write them."""
    if "function" in call:
        return {**call, "function": _parsed(call["function"])}
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        return call
    try:
        value = json.loads(arguments)
    except ValueError:
        return call
    return {**call, "arguments": value} if isinstance(value, dict) else call


@functools.lru_cache(maxsize=64)
def content_form(source: str) -> ContentForm:
    """Whether a template reads a message's content as text, as typed parts (text, image, …), or as either."""
    if not _READS_PARTS.search(source):
        return "text"
    return "either" if "is string" in source else "parts"
