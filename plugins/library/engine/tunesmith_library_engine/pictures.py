"""Images that a user names by a path, read: templates are given bytes, so that no stranger's path is ever opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Message


def with_files_read(messages: Sequence[Message]) -> Sequence[Message]:
    """The same messages, in which each image that was a path is the bytes of its file.

    Raises: TunesmithError for a file that cannot be read.
    """
    if not any(isinstance(message.get("content"), list) for message in messages):
        return messages
    return [
        {**message, "content": [_read(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _read(part: Any) -> Any:
    named = part.get("image") if isinstance(part, Mapping) and part.get("type") == "image" else None
    if not isinstance(named, str | os.PathLike):
        return part
    try:
        return {**part, "image": Path(named).expanduser().read_bytes()}
    except (OSError, ValueError) as error:
        raise TunesmithError(f"the image {named} cannot be read: {error}") from error
