"""A reward of one's own: colours for a child's room."""

from collections.abc import Mapping, Sequence
from typing import Any

DARK = {"black", "brown", "grey"}


def bright(prompts: Sequence[Any], completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The share of different colours that are not dark; 0 for an answer that does not name as many as was asked."""
    return [_bright(text, row["number"]) for text, row in zip(completions, rows, strict=True)]


def _bright(text: str, number: int) -> float:
    named = [line.removeprefix("- ") for line in text.splitlines()]
    return len({*named} - DARK) / number if len(named) == number else 0.0
