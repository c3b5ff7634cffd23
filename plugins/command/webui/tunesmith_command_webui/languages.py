"""The languages of the page: whoever adds a file adds a language."""

from __future__ import annotations

import json

from .page_files import FOLDER


def languages() -> dict[str, str]:
    """Each language with its own name, which its file has under `language`, such as {"en": "English"}."""
    files = sorted((FOLDER / "languages").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8"))["language"] for file in files}
