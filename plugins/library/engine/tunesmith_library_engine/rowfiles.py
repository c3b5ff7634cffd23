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

from tunesmith_library_engine.showing import MEDIA

_Found = TypeVar("_Found")


def row_of(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None) -> Row:
    """A conversation as a row to train on: `messages`, with `tools`, `images`, `videos`, `audios` where it has them."""
    media: dict[str, list[Any]] = {}
    for part in _media(messages):
        media.setdefault(MEDIA[part["type"]][0], []).append(part[part["type"]])
    row: Row = {"messages": [_without_paths(message) for message in messages]}
    return row | ({"tools": list(tools)} if tools else {}) | media


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
    messages = parse_messages(row["messages"])
    for kind, (column, _) in MEDIA.items():
        _fill([part for part in _media(messages) if part["type"] == kind], kind, list(row.get(column) or ()), column)
    return messages, parse_tools(row.get("tools"))


def _fill(places: Sequence[dict[str, Any]], kind: str, items: Sequence[Any], column: str) -> None:
    """Put a row's media where its messages have places for them. Raises: DataError for more media than places."""
    if len(items) > len(places):
        raise DataError(f"the row has {len(items)} {column}, and its messages places for {len(places)}")
    for part, item in zip([part for part in places if kind not in part], items, strict=False):
        part[kind] = item


def _has_tools(value: Any) -> bool:
    return isinstance(value, Mapping) and "tools" in value


def _media(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The parts of messages that are no text, in their order."""
    contents = [message.get("content") for message in messages]
    return [part for content in contents if isinstance(content, list) for part in content if part["type"] in MEDIA]


def _without_paths(message: Message) -> Message:
    if not _media([message]):
        return message
    parts = [{"type": part["type"]} if part["type"] in MEDIA else part for part in message["content"]]
    return {**message, "content": parts}


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
