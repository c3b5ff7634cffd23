"""The data of the tasks in this folder: the same sixteen questions whenever they are asked for."""

from typing import Any

import datasets

WORDS = (
    "whales",
    "sing",
    "the",
    "tide",
    "turns",
    "and",
    "nobody",
    "counts",
    "waves",
    "twice",
    "你好",
    "é",
    "🐋",
    "who",
)


def rows(**more: Any) -> dict[str, Any]:
    """Test and training parts, for lm-evaluation-harness."""
    made = []
    for number in range(16):
        pick = [WORDS[(number * 7 + step * step) % len(WORDS)] for step in range(12)]
        choices = [" " + " ".join(pick[start : start + 1 + start % 4]) for start in range(4)]
        made.append({"question": f"{number} {' '.join(pick[4:])}", "choices": choices, "answer": number % 4})
    return {"test": datasets.Dataset.from_list(made[:12]), "train": datasets.Dataset.from_list(made[12:])}
