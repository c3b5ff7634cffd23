"""The inputs of the benchmarks: real data and tokenizers where they are beside the repository, else made-up ones."""

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("TUNESMITH_SHARED", Path(__file__).parents[3] / "shared"))


def tokenizer_folder(name: str, scratch: Path) -> tuple[Path, str]:
    """A folder with a real tokenizer, or with a tiny one, and the config of a model; and what to call it."""
    folder = SHARED / "tokenizers" / name
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    if folder.is_dir():
        shutil.copytree(folder, scratch, dirs_exist_ok=True)
        return scratch, name
    from tunesmith_library_testing.tiny import tiny_tokenizer

    tiny_tokenizer([json.dumps(row) for row in instructions(2000)], vocab_size=8000).save_pretrained(scratch)
    return scratch, "tiny tokenizer, the real one is not there"


def instructions(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Alpaca rows: the real ones in a random order, repeated with another first line; else made-up ones."""
    rng = random.Random(seed)
    file = SHARED / "data" / "alpaca_en_demo.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else list(_made_up(rng))
    rng.shuffle(rows)
    return [
        {**rows[number % len(rows)], "instruction": f"{number}. {rows[number % len(rows)]['instruction']}"}
        for number in range(count)
    ]


def _made_up(rng: random.Random) -> Iterator[dict[str, Any]]:
    words = [
        "river",
        "stone",
        "light",
        "under",
        "seven",
        "quiet",
        "market",
        "letter",
        "winter",
        "engine",
        "paper",
        "green",
        "follow",
        "always",
    ]
    for _ in range(1000):
        length = int(rng.lognormvariate(4.5, 0.8)) + 5
        answer = " ".join(rng.choices(words, k=length))
        yield {"instruction": " ".join(rng.choices(words, k=12)), "input": "", "output": answer}
