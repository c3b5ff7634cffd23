"""Write the documents of docs/tasks/continued_pretraining.md: the prose of this documentation, section by section.

    python docs/tasks/continued_pretraining/documents.py [FOLDER]

Every eighth section is held out. Beside them stand conversations that the practice model was made of, as texts.
"""

import json
import re
import sys
from pathlib import Path

DOCS = Path("docs")
PAGES = ("distributed", "evaluation", "export", "howto", "serving")
CORPUS = Path(".practice/model-base/corpus.jsonl")
GENERAL = {"train": 200, "test": 32}  # conversations


def sections(page: Path) -> list[str]:
    """The prose below each heading, without code, tables and lists."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    parts = re.split(r"^#+ .*$", text, flags=re.M)
    prose = ["\n".join(line for line in part.splitlines() if line[:1].isalpha() or not line).strip() for part in parts]
    return [re.sub(r"\n{2,}", "\n\n", part) for part in prose if len(part) > 200]


def conversations() -> list[str]:
    """Conversations as the model's template writes them."""
    rows = map(json.loads, CORPUS.read_text(encoding="utf-8").splitlines()[: sum(GENERAL.values())])
    return ["".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row["messages"]) for row in rows]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts, general = [text for name in PAGES for text in sections(DOCS / f"{name}.md")], conversations()
    sets = {
        "domain_train": [text for number, text in enumerate(texts) if number % 8 != 7],
        "domain_test": [text for number, text in enumerate(texts) if number % 8 == 7],
        "general_train": general[: GENERAL["train"]],
        "general_test": general[GENERAL["train"] :],
    }
    for name, rows in sets.items():
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".domain"))
