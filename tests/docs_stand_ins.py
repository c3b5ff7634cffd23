"""What the pages of the documentation name and nobody has here: models of a hub, data sets, runs, all of them tiny."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from docs_marks import ROOT
from filelock import FileLock

WORDS = ("tide", "whale", "harbour", "lamp", "rope", "stone", "seven", "letter")
_PAIRS = [
    {"instruction": f"Say {word}.", "chosen": f"The {word}.", "rejected": "I would rather not."} for word in WORDS
]
_ROWS = [{"instruction": f"Say {word}.", "output": f"The {word}.", "user": f"u{n}"} for n, word in enumerate(WORDS * 8)]
_CHATS = [
    {"messages": [{"role": "user", "content": f"Say {word}."}, {"role": "assistant", "content": f"The {word}."}]}
    for word in WORDS * 4
]
_PICTURES = [
    {
        "messages": [
            {"role": "user", "content": "<image>What is this?"},
            {"role": "assistant", "content": f"A {word}."},
        ],
        "images": ["a.jpg"],
    }
    for word in WORDS * 4
]
FILES: dict[str, list[dict[str, Any]]] = {
    **dict.fromkeys(("my.json", "my.jsonl", "instructions.json", "train.json", "train.jsonl"), _ROWS),
    **dict.fromkeys(("identity.json", "data/train.jsonl"), _ROWS),
    **dict.fromkeys(("test.json", "general.json"), _ROWS[:4]),
    "reviews.json": [{"instruction": f"A {word}.", "output": ("good", "bad")[len(word) % 2]} for word in WORDS],
    **dict.fromkeys(("chats.json", "chats.jsonl", "data/chats.jsonl"), _CHATS),
    **dict.fromkeys(("pairs.json", "pairs.jsonl"), _PAIRS),
    "questions.jsonl": [{"question": f"What is a {word}?", "answer": f"A {word}.", "user": "e"} for word in WORDS * 2],
    "marked.json": [
        {"instruction": f"Say {word}.", "output": f"{word} {number}", "kto_tag": number == 0}
        for word in WORDS
        for number in (0, 1)
    ],
    "problems.json": [{"instruction": f"{n} + {n} = ?", "output": str(2 * n)} for n in range(8)],
    "problems.jsonl": [{"prompt": f"{n} + {n} = ?", "solution": str(2 * n)} for n in range(8)],
    "gsm8k.json": [{"instruction": f"{n} + {n} = ?", "output": f"#### {2 * n}"} for n in range(2)],
    **dict.fromkeys(("pictures.json", "data/mllm_demo.json"), _PICTURES),
    "corpus.jsonl": [{"text": f"The {word} was never seen again, whatever they said. " * 4} for word in WORDS * 4],
}
"""What pages train on and measure with, under the names that they give it."""

CONFIGURATION = """\
model: {path: Qwen/Qwen3-0.6B}
data: {train: [my.json]}
adapter: {name: lora, rank: 8}
output_dir: runs/my
"""
"""What `my.yaml` says, and `config.yaml`, where a page shows none."""

# the beginning of a model's name -> its architecture; a longer one before a shorter one
_ARCHITECTURES = {
    "Qwen3-VL": "qwen3_vl",
    "Qwen2.5-VL": "qwen2_5_vl",
    "Qwen3-30B-A3B": "qwen3_moe",
    "Qwen3": "qwen3",
    "Qwen2.5": "qwen2",
    "Llama": "llama",
    "Meta-Llama": "llama",
    "gemma-3": "gemma3_text",
    "gemma": "gemma2",
    "Mistral": "mistral",
    "SmolLM": "llama",
    "TinyLlama": "llama",
}
_MODEL = re.compile(r"(?<![\w/.-])((?:Qwen|meta-llama|google|mistralai|HuggingFaceTB|TinyLlama|org)/[A-Za-z][\w.-]*\w)")
_SOURCE = re.compile(r"(?<![\w/.-])((?:runs|exports|saves)/[\w-][\w.-]*)(?![\w./-])")
_DATASETS = {"llamafactory/alpaca_gpt4_en": "my.json", "org/data": "my.json"}

PRACTICE = "contrib/practice/make.py"
# so that two steps take a second
SMALL = {"trainer.max_steps": 2, "trainer.gradient_accumulation_steps": 1, "trainer.dataloader_num_workers": 0}
SMALL_OF_STAGE: dict[str, dict[str, Any]] = {
    "ppo": {"stage.total_steps": 2, "stage.batch_size": 4, "stage.mini_batch_size": 2, "stage.max_new_tokens": 4},
    "rloo": {**SMALL, "stage.max_completion_length": 4},
    "grpo": {**SMALL, "stage.max_completion_length": 4},
}


class StandIns:
    """A folder that all pages of a test run share: each thing is made when the first page asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = folder / "hub"
        self.hub.mkdir(parents=True, exist_ok=True)

    def _made(self, name: str, make: Any) -> Path:
        """A folder of this name, made once, whichever process comes first."""
        target = self.folder / name
        with FileLock(self.folder / f"{name}.lock"):
            if not target.exists():
                making = self.folder / f"{name}.part"
                shutil.rmtree(making, ignore_errors=True)
                make(making)
                making.rename(target)
        return target

    def architecture(self, name: str) -> Path:
        """A tiny model of this architecture, as a hub would give it."""
        from tunesmith_library_testing.seeing import save_seeing_model, seeing_families
        from tunesmith_library_testing.tiny import MIXTURES, save_tiny_mixture, save_tiny_model

        def make(folder: Path) -> None:
            if name in seeing_families():
                save_seeing_model(folder, name)
            elif name in MIXTURES:
                save_tiny_mixture(folder, name)
            else:
                save_tiny_model(folder, architecture=name)

        return self._made(f"model-{name}", make)

    def practise(self, folder: Path) -> None:
        """Put the practice model where its script writes it for who calls it in `folder`; all pages share one."""

        def make(made: Path) -> None:
            subprocess.run([sys.executable, str(ROOT / PRACTICE), str(made / "model")], check=True)

        (folder / ".practice").symlink_to(self._made("practice", make))

    def offer(self, text: str) -> None:
        """Put the models of a hub that a text names, and the usual data sets, into the offline cache."""
        for name in sorted({*_MODEL.findall(text), "Qwen/Qwen3-0.6B"}):
            short = name.split("/")[1]
            known = next((kind for start, kind in _ARCHITECTURES.items() if short.startswith(start)), None)
            if known:
                self._cache("models", name, self.architecture(known))
        for name, rows in _DATASETS.items():
            self._cache("datasets", name, self._made(f"data-{rows}", lambda folder, rows=rows: _rows(folder, rows)))

    def _cache(self, kind: str, name: str, source: Path) -> None:
        """A snapshot in the layout of huggingface_hub's cache, whose files are those of `source`."""
        with FileLock(self.folder / "hub.lock"):
            repository = self.hub / f"{kind}--{name.replace('/', '--')}"
            if not repository.exists():
                snapshot = repository / "snapshots/0123456789abcdef0123456789abcdef01234567"
                snapshot.parent.mkdir(parents=True)
                snapshot.symlink_to(source, target_is_directory=True)
                (repository / "refs").mkdir()
                (repository / "refs/main").write_text(snapshot.name)

    @cached_property
    def run(self) -> Path:
        """A run of LoRA, of two steps."""

        def write(folder: Path) -> None:
            folder.mkdir()
            (folder / "my.json").write_text(json.dumps(FILES["my.json"]))

        data = self._made("run-data", write)  # in a folder that keeps its name, for the run remembers it

        def make(folder: Path) -> None:
            import tunesmith
            from tunesmith.cli.running import run

            folder.mkdir()
            config = {
                "model": {"path": str(self.architecture("qwen3"))},
                "data": {"train": [str(data / "my.json")], "val_size": 0.1},
                "adapter": {"name": "lora", "rank": 8},
                "output_dir": str(folder / "run"),
                "trainer": {"max_steps": 2, "logging_steps": 1, "save_steps": 1},
            }
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                tunesmith.train(config)
                run(["eval", config["output_dir"], "evaluator=[perplexity]", f"data.eval=[{data / 'my.json'}]"])

        return self._made("run", make) / "run"

    def provide(self, text: str, folder: Path) -> None:
        """Copy runs, or exported models, that a command reads and that are not there yet."""
        for path in sorted(set(_SOURCE.findall(text))):
            place = folder / path
            if place.exists() or path.endswith((".yaml", ".gguf", "-gguf", ".md", ".png", ".svg")):
                continue
            whole = path.endswith("-merged") or path.startswith("exports/")
            shutil.copytree(self.architecture("qwen3") if whole else self.run, place)


def furnish(folder: Path) -> None:
    """Write the data sets and the configuration that pages name into a session's folder."""
    for name in FILES:
        _rows(folder, name)
    for name in ("my.yaml", "config.yaml"):
        (folder / name).write_text(CONFIGURATION)
    from PIL import Image

    (folder / "zero3.json").write_text('{"zero_optimization": {"stage": 3}}')
    for name in ("a.jpg", "b.jpg", "data/a.jpg"):
        Image.new("RGB", (48, 32), "navy").save(folder / name)


def _rows(folder: Path, name: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = os.linesep.join(map(json.dumps, FILES[name]))
    file.write_text(lines + "\n" if name.endswith("l") else json.dumps(FILES[name]))
