"""The JSON Schema that a grammar is, for engines that have schemas in the place of grammars."""

from __future__ import annotations

import json
from typing import Any

_START = "start: %json "


def schema_of(grammar: str) -> dict[str, Any] | None:
    """The schema of a grammar that is one and nothing else, without what is for llguidance alone; None for others."""
    if not grammar.strip().startswith(_START):
        return None
    try:
        schema = json.loads(grammar.strip().removeprefix(_START))
    except ValueError:  # more follows
        return None
    return {key: value for key, value in schema.items() if key != "x-guidance"} if isinstance(schema, dict) else None
