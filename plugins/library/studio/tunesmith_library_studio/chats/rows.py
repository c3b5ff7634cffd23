"""Conversations as rows of training data, in the format `openai`: to learn from, rated, or preferred over another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.chats.media import MediaFiles

_KEPT = ("role", "content", "reasoning", "tool_calls", "tool_call_id", "name")
_COLUMNS = {"image_url": ("images", "image"), "video_url": ("videos", "video"), "audio_url": ("audios", "audio")}

Messages = Sequence[Mapping[str, Any]]


def row_of(
    messages: Messages,
    media: MediaFiles,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    good: bool | None = None,
    rejected: Messages = (),
) -> dict[str, Any]:
    """A row.

    Args:
        messages: a conversation in OpenAI's shape, whose end is the answer.
        media: where the files are that it names; the row has their paths.
        good: whether the answer was: a row for KTO.
        rejected: what was answered worse in the place of the last message: a row for DPO.

    Raises: TunesmithError for a conversation that does not end with an answer.
    """
    if not messages or messages[-1].get("role") != "assistant":
        raise TunesmithError("a row ends with an answer, and this conversation does not.\n  let the model answer first")
    found: dict[str, list[str]] = {}
    written = [_message(message, media, found) for message in messages]
    row: dict[str, Any] = {"messages": written}
    if rejected:
        worse = [_message(message, media, found) for message in rejected]
        row = {"messages": written[:-1], "chosen": written[-1:], "rejected": worse}
    elif good is not None:
        row["label"] = good
    if tools:
        row["tools"] = json.dumps(list(tools), ensure_ascii=False)
    return row | found


def _message(message: Mapping[str, Any], media: MediaFiles, found: dict[str, list[str]]) -> dict[str, Any]:
    kept = {key: message[key] for key in _KEPT if message.get(key)}
    kept.setdefault("content", "")
    if isinstance(kept["content"], list):
        kept["content"] = list(_parts(kept["content"], media, found))
    return kept


def _parts(parts: Sequence[Mapping[str, Any]], media: MediaFiles, found: dict[str, list[str]]) -> Iterator[Any]:
    for part in parts:
        if part.get("type") not in _COLUMNS:
            yield dict(part)
            continue
        column, kind = _COLUMNS[part["type"]]
        held = part[part["type"]]
        address = held.get("url") or held.get("data") or ""
        if not media.is_address(address):
            raise TunesmithError(f"{part['type']}: a row names files that are kept here, and {address[:40]} is none")
        found.setdefault(column, []).append(str(media.file(address)))
        yield {"type": kind}
