"""Which Chinese page is older than its original: `python docs/tools/translations.py --list`; `--stamp PAGE…` notes it.

A Chinese page is `x.zh.md` beside `x.md`. Its first line says which text it translates, `<!-- of: docs/x.md HASH -->`;
when the original changes, the hash no longer holds, and `tests/test_docs_translated.py` names the page.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STAMP = re.compile(r"\A<!-- of: (\S+) ([0-9a-f]{12}) -->\n")

ENGLISH_ONLY = (
    *("docs/architecture.md", "docs/benchmarks.md", "docs/decisions.md", "docs/hooks.md"),
    *("docs/interface.md", "docs/plugins.md", "docs/publishing.md", "docs/releasing.md"),
    *("docs/third-party.md", "docs/tutorial.md", "docs/types.md"),
)
"""Pages for authors and for those who look after the project; so are all of docs/kinds/."""

GENERATED = ("docs/commands.md", "docs/reference.md")
"""Pages whose Chinese form is generated, too."""


def user_pages() -> list[Path]:
    """The pages that a user reads, each of which has a Chinese one."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return [page for page in pages if not page.name.endswith(".zh.md") and not _is_english_only(page)]


def _is_english_only(page: Path) -> bool:
    name = page.relative_to(ROOT).as_posix()
    return name in ENGLISH_ONLY or name.startswith("docs/kinds/")


def chinese_of(page: Path) -> Path:
    """The Chinese page beside a page."""
    return page.with_name(f"{page.stem}.zh.md")


def original_of(page: Path) -> Path:
    """The page that a Chinese one translates."""
    return page.with_name(page.name.replace(".zh.md", ".md"))


def digest(page: Path) -> str:
    """The hash of a page's text, in which line breaks within paragraphs count for nothing."""
    return hashlib.sha256(" ".join(page.read_text(encoding="utf-8").split()).encode()).hexdigest()[:12]


def missing() -> list[str]:
    """The user's pages that have no Chinese one."""
    return [_named(page) for page in user_pages() if not chinese_of(page).is_file()]


def stale() -> list[str]:
    """The Chinese pages that are not stamped with the present text of their original, or that have none."""
    found = []
    for page in sorted([*ROOT.glob("*.zh.md"), *(ROOT / "docs").glob("**/*.zh.md")]):
        original = original_of(page)
        if _named(original) in GENERATED:
            continue
        stamp = _STAMP.match(page.read_text(encoding="utf-8"))
        if not original.is_file() or not stamp or stamp.groups() != (_named(original), digest(original)):
            found.append(_named(page))
    return found


def stamp(page: Path) -> None:
    """Note that a Chinese page says what its original says now."""
    original = original_of(page)
    if original == page or not original.is_file():
        sys.exit(f"{page}: a Chinese page is named x.zh.md and lies beside x.md")
    text = _STAMP.sub("", page.read_text(encoding="utf-8"))
    page.write_text(f"<!-- of: {_named(original)} {digest(original)} -->\n{text}", encoding="utf-8")


def _named(page: Path) -> str:
    return page.resolve().relative_to(ROOT).as_posix()


def main(words: list[str]) -> int:
    """`--list`, or `--stamp PAGE…`; the exit code is 1 where something is stale or missing."""
    if words[:1] == ["--stamp"] and words[1:]:
        for word in words[1:]:
            stamp(Path(word).resolve())
        return 0
    if words != ["--list"]:
        sys.exit("docs/tools/translations.py --list | --stamp PAGE.zh.md…")
    for name in stale():
        print(f"older than its original: {name}")
    for name in missing():
        print(f"no Chinese page: {name}")
    return int(bool(stale() or missing()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
