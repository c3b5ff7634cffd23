"""Rows as text, for tables whose rows are of different shapes: items that are bytes or arrays become data URLs."""

from __future__ import annotations

import base64
import json
from typing import Any

from tunesmith.types import Row

from tunesmith_library_media.holding import stored


def row_text(row: Row) -> str:
    """A canonical row as JSON. What was bytes is a data URL in it, which is an item as well.

    Raises: DataError for an item that is none.
    """
    return json.dumps(row, ensure_ascii=False, default=_held)


def _held(item: Any) -> str:
    data = item if isinstance(item, bytes) else stored(item)["bytes"]
    return f"data:;base64,{base64.b64encode(data or b'').decode()}"
