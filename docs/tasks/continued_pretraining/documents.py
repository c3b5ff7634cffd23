"""Write the documents of docs/tasks/continued_pretraining.md: the prose of this documentation, section by section.

    python docs/tasks/continued_pretraining/documents.py [FOLDER]

Every eighth section is held out in test.jsonl. general.jsonl has documents of the practice model's own corpus.
"""

import json
import re
import sys
from pathlib import Path

DOCS = Path("docs")
PAGES = (
    "distributed",
    "evaluation",
    "export",
    "howto",
    "media",
    "monitoring",
    "planning",
    "plugins",
    "reliability",
    "serving",
)
CORPUS = Path(".practice/model-base/corpus.jsonl")
GENERAL = 60  # documents


def sections(page: Path) -> list[str]:
    """The prose below each heading, without code, tables and lists of links."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    parts = re.split(r"^#+ .*$", text, flags=re.M)
    prose = ["\n".join(line for line in part.splitlines() if line[:1].isalpha() or not line).strip() for part in parts]
    return [re.sub(r"\n{2,}", "\n\n", part) for part in prose if len(part) > 200]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [text for name in PAGES for text in sections(DOCS / f"{name}.md")]
    general = CORPUS.read_text(encoding="utf-8").splitlines(keepends=True)[-GENERAL:]
    held = [text for number, text in enumerate(texts) if number % 8 == 7]
    kept = [text for number, text in enumerate(texts) if number % 8 != 7]
    for name, rows in (("train", kept), ("test", held)):
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "general.jsonl").write_text("".join(general), encoding="utf-8")
    print(f"{len(kept)} sections to train on, {len(held)} held out, {len(general)} general documents")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".domain"))
