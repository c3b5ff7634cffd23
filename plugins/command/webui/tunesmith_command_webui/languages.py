"""The languages of the page: whoever adds a file adds a language. What the server tells is in that of the request."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from tunesmith.cli.languages import best, translate_elsewhere

from .page_files import FOLDER

_TOLD = ("message", "advice")
_LISTS = ("problems", "warnings")


def languages() -> dict[str, str]:
    """Each language with its own name, which its file has under `language`, such as {"en": "English"}."""
    files = sorted((FOLDER / "languages").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8"))["language"] for file in files}


def in_language(request: Request, text: str) -> str:
    """A message in the language that a request asks for, as the page does by `Accept-Language`."""
    asked = request.headers.get("accept-language", "en")
    return translate_elsewhere(
        text, best(tag.partition(";")[0].partition("-")[0].strip().lower() for tag in asked.split(","))
    )


def translated(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose problems, warnings and notices are in the language that its request asks for."""
    changed = {**answer}
    for name in _LISTS:
        if isinstance(answer.get(name), list):
            changed[name] = [_in_words(request, item) for item in answer[name]]
    if isinstance(answer.get("notices"), list | tuple):
        changed["notices"] = [in_language(request, str(notice)) for notice in answer["notices"]]
    return changed


def _in_words(request: Request, item: Any) -> Any:
    """A problem, whose `key` and `fixes` are as they were."""
    if not isinstance(item, dict):
        return item
    return {**item, **{name: in_language(request, item[name]) for name in _TOLD if isinstance(item.get(name), str)}}
