"""Conversations cut before each turn of the assistant: calls stand in the middle, with their results behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith.types import Row


def turns_of(sets: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """A row for each turn of the assistant that stands behind another turn, up to and with it; others as they are."""
    return {name: [each for row in rows for each in _cut(row)] for name, rows in sets.items()}


def _cut(row: Row) -> list[Row]:
    messages = row.get("messages") or ()
    ends = [at for at, message in enumerate(messages) if message["role"] == "assistant" and at]
    return [{**row, "messages": messages[: at + 1]} for at in ends] or [row]
