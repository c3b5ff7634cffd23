"""A row as somebody reads it who judges it: a conversation with its roles in colours, the two answers of a pair."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text
from tunesmith.cli.languages import translate

_COLOURS = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}
_BESIDE = ("prompt", "messages", "completion", "chosen", "rejected")  # what is shown as messages
_LONGEST = 300  # characters of another column

Row = Mapping[str, Any]


def sides(row: int, author: str) -> tuple[str, str]:
    """Which answer of a pair is A, and which is B: by row and person, so that it stays and nobody can tell. The web
    page has the same."""
    total = row * 2_654_435_761
    for letter in author:
        total = (total * 31 + ord(letter)) % 4_294_967_291
    return ("rejected", "chosen") if total // 7 % 2 else ("chosen", "rejected")


def answer_of(content: Row) -> str | None:
    """The last answer of a row, which can be corrected; None where there is none, or it is no plain text."""
    messages = content.get("chosen") or content.get("completion") or content.get("messages") or []
    last = messages[-1] if messages else {}
    text = last.get("content")
    return text if last.get("role") == "assistant" and isinstance(text, str) else None


def lines_of(content: Row, pair: tuple[str, str]) -> Iterator[Text]:
    """A row in canonical form, line by line."""
    if "text" in content:
        yield Text(plain(str(content["text"])))
    for name in ("prompt", "messages", "completion"):
        yield from _said(content.get(name) or ())
    if "chosen" in content:
        for letter, name in zip("AB", pair, strict=True):
            yield Text(translate(f"── answer {letter}"), "bold")
            yield from _said(content[name])
    for name, value in content.items():
        if name not in (*_BESIDE, "text") and value not in (None, "", []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield Text(f"{plain(name)}: {_shortened(plain(text))}", "dim")


def _said(messages: Sequence[Mapping[str, Any]] | str) -> Iterator[Text]:
    if isinstance(messages, str):
        yield Text(plain(messages))
        return
    for message in messages:
        role = str(message.get("role"))
        yield Text(f"{plain(role)}:", f"bold {_COLOURS.get(role, 'white')}")
        if thought := message.get("reasoning"):
            yield Text(plain(str(thought)), "dim italic")
        yield from _content(message.get("content"))
        for call in message.get("tool_calls") or ():
            yield Text(f"→ {plain(json.dumps(call.get('function', call), ensure_ascii=False, default=str))}", "yellow")


def _content(content: Any) -> Iterator[Text]:
    """The text of a message, and its media by what they are."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if part.get("type") == "text":
            yield Text(plain(str(part.get("text", ""))))
        else:
            yield Text(f"[{plain(_shortened(json.dumps(part, ensure_ascii=False, default=str)))}]", "blue")


def plain(text: str) -> str:
    """A text whose control characters are seen and not obeyed: data may come from anywhere."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) != "Cc" else f"\\x{ord(letter):02x}"
        for letter in text.replace("\r\n", "\n")
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
