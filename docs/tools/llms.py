"""`llms.txt` of the site, a list of its pages for language models (https://llmstxt.org), and all of them in one file.

They are made with the site and not checked in: they say nothing that the pages do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
_COMMENT = re.compile(r"(?P<code>^ *```.*?^ *```$)|^ *<!--[^\n]*?--> *\n", re.M | re.S)
_OPTIONAL = ("API", "Plugins", "Project")
"""Sections that a model may leave out when its context is short, as the form has it."""


def without_comments(text: str) -> str:
    """A page without the lines that are comments, such as marks for tests; what blocks of code show stays."""
    return _COMMENT.sub(lambda found: found["code"] or "", text)


def write_llms(nav: list[Any], pages: Path, site: Path, description: str) -> None:
    """Write both files.

    Args:
        nav: the navigation of mkdocs: titles with pages, or with lists of such.
        pages: the folder that the pages of the navigation are in.
        site: the folder of the built site.
    """
    listed = {title: list(_pages([entry])) for entry in nav for title in entry}
    order = sorted(listed, key=lambda title: title in _OPTIONAL)
    lines, texts = ["# Tunesmith", "", f"> {description}", ""], []
    first_optional = next((title for title in order if title in _OPTIONAL), "")
    for title in order:
        if title not in _OPTIONAL or title == first_optional:
            lines += [f"## {'Optional' if title in _OPTIONAL else title}", ""]
        for page in listed[title]:
            text = (pages / page).read_text(encoding="utf-8")
            address = page.removesuffix(".md").removesuffix("index").rstrip("/")
            lines.append(f"- [{_title(text, page)}]({address or '.'}/){_summary(text)}")
            if title not in _OPTIONAL:
                texts.append(without_comments(text).strip())
        lines += [""] if title not in _OPTIONAL or title == order[-1] else []
    (site / "llms.txt").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def _pages(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from _pages([value] if isinstance(value, str) else value)


def _title(text: str, page: str) -> str:
    found = re.search(r"^# +(.*)$", text, re.M)
    return found[1].replace("`", "") if found else page


def _summary(text: str) -> str:
    """The first sentence of the first paragraph; empty where there is none."""
    body = re.sub(r"\A.*?^# [^\n]*\n", "", without_comments(_FENCE.sub("", text)), flags=re.M | re.S)
    paragraphs = (part.strip() for part in re.split(r"\n\s*\n", body))
    plain = next((part for part in paragraphs if part and not re.match(r"[#|:<>*\-\[]", part)), "")
    joined = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(plain.split()))
    sentence = re.match(r".*?[.!?](?= |$)", joined)
    return f": {(sentence[0] if sentence else joined).rstrip(':')}" if joined else ""
