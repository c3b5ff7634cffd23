"""What a judge's reply says, read strictly: a verdict that does not stand where it was asked for is none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Verdict = Literal["first", "second", "tie"]

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?```\s*$", re.DOTALL)
_OBJECT = re.compile(r"\{[^{}]*\}$")  # at the end of a text
_WORDS: dict[str, Verdict] = {"a": "first", "b": "second", "tie": "tie", "c": "tie", "平局": "tie"}
_LINE = re.compile(
    r"[\s*\[(\"'`]*(?:(?:final\s+)?verdict|winner|最终裁决|裁决|结论|胜者)?[\s*:：\[(\"'`]*"
    r"(?:answer\s+|回答\s*)?(A|B|C|tie|平局)[\s*\])\"'`.。]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"[\s*\[(\"'`]*(?:(?:final\s+)?score|rating|评分|得分|分数)?[\s*:：\[(\"'`]*"
    r"(-?\d+(?:\.\d+)?)(?:\s*/\s*\d+)?[\s*\])\"'`.。分]*",
    re.IGNORECASE,
)


def verdict_of(reply: str) -> Verdict | None:
    """Which of two answers a reply prefers: by JSON with `verdict`, else by a last line that says it alone."""
    told = _json(reply)
    if told is not None:
        return _WORDS.get(str(told.get("verdict")).strip().lower())
    found = _LINE.fullmatch(_last_line(reply))
    return _WORDS[found[1].lower()] if found else None


def scores_of(reply: str, criteria: Sequence[str], least: float, most: float) -> dict[str, float] | None:
    """The score of each criterion: by JSON with all of them, of a single one also by a last line.

    Args:
        least, most: a score outside is none.
    """
    told = _json(reply)
    if told is None and len(criteria) == 1:
        found = _NUMBER.fullmatch(_last_line(reply))
        told = {criteria[0]: float(found[1])} if found else None
    if told is None or not all(_is_score(told.get(name), least, most) for name in criteria):
        return None
    return {name: float(told[name]) for name in criteria}


def _is_score(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _last_line(reply: str) -> str:
    return reply.strip().rsplit("\n", 1)[-1]


def _json(reply: str) -> Mapping[str, Any] | None:
    """The JSON object that a reply is, or ends with, fenced or not."""
    text = reply.strip()
    fenced, ending = _FENCE.search(text), _OBJECT.search(text)
    for part in (text, fenced and fenced[1], ending and ending[0]):
        try:
            read = json.loads(part or "")
        except ValueError:
            continue
        if isinstance(read, dict):
            return read
    return None
