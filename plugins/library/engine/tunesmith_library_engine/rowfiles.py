"""Conversations in files: rows to train on, one a line, and the tools of a conversation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.errors import DataError, TunesmithError
from tunesmith.types import Message, Row
from tunesmith_library_formats.messages import parse_messages, parse_tools

_Found = TypeVar("_Found")


def row_of(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> Row:
    """A conversation as a row to train on: `messages`, with `tools` and `images` where it has them."""
    images = [part["image"] for message in messages for part in _pictures(message)]
    row: Row = {"messages": [_without_paths(message) for message in messages]}
    return row | ({"tools": list(tools)} if tools else {}) | ({"images": images} if images else {})


def append_row(file: Path, row: Row) -> None:
    """Add a row to a file of JSON lines, which is made if it is not there.

    Raises: TunesmithError for a file that cannot be written.
    """
    line = json.dumps(row, ensure_ascii=False) + "\n"
    try:
        with file.open("ab+") as rows:
            if rows.tell():
                rows.seek(-1, os.SEEK_END)
                line = line if rows.read(1) == b"\n" else "\n" + line
            rows.write(line.encode())
    except OSError as error:
        raise TunesmithError(f"{file} cannot be written: {error.strerror}") from error


def read_row(file: Path, number: int | None = None) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """The messages and tools of a file's row: the last one, or that of a number, counted from 1.

    Raises: TunesmithError for a file without it; DataError for a row that is no conversation.
    """
    lines = [(at, line) for at, line in enumerate(_text(file).splitlines(), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{file} holds no row")
    if number is not None and not 1 <= number <= len(lines):
        raise DataError(f"{file} has no row {number}; it has {len(lines)}")
    at, line = lines[-1 if number is None else number - 1]
    return _at(f"{file}:{at}", lambda: _conversation(_parsed(line)))


def read_tools(file: Path) -> list[dict[str, Any]]:
    """The tools of a JSON file: a list of them, one, or a mapping with `tools`.

    Raises: TunesmithError for a file that cannot be read; DataError for one that holds no tools.
    """
    value = _at(str(file), lambda: _parsed(_text(file)))
    tools = _at(str(file), lambda: parse_tools(value["tools"] if _has_tools(value) else value))
    if not tools:
        raise DataError(f"{file} holds no tools; it needs a list of them, as the OpenAI API takes it")
    return tools


def _conversation(row: Any) -> tuple[list[Message], list[dict[str, Any]] | None]:
    if not isinstance(row, Mapping) or "messages" not in row:
        found = f"has {', '.join(map(str, row)) or 'nothing'}" if isinstance(row, Mapping) else "is no mapping"
        raise DataError(f"a row with `messages` is needed; this one {found}")
    messages, images = parse_messages(row["messages"]), list(row.get("images") or ())
    places = [part for message in messages for part in _pictures(message)]
    if len(images) > len(places):
        raise DataError(f"the row has {len(images)} images, and its messages places for {len(places)}")
    for part, image in zip([part for part in places if "image" not in part], images, strict=False):
        part["image"] = image
    return messages, parse_tools(row.get("tools"))


def _has_tools(value: Any) -> bool:
    return isinstance(value, Mapping) and "tools" in value


def _pictures(message: Message) -> list[dict[str, Any]]:
    content = message.get("content")
    return [part for part in content if part["type"] == "image"] if isinstance(content, list) else []


def _without_paths(message: Message) -> Message:
    if not _pictures(message):
        return message
    return {**message, "content": [{"type": "image"} if p["type"] == "image" else p for p in message["content"]]}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise TunesmithError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8") from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"this is no JSON: {error}") from error


def _at(place: str, read: Callable[[], _Found]) -> _Found:
    """Raises: DataError with the place before it."""
    try:
        return read()
    except DataError as error:
        raise error if str(error).startswith(place) else DataError(f"{place}: {error}") from error
