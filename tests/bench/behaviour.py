"""What the stages that learn from preferences and rewards do on real input; draws docs/figures/*.png.

Small models of 2 layers of 96. From real pairs (dpo) and real marked answers (kto) one with random weights learns to
order answers that it has not seen: the data is cut in four parts, and each is held out once. One that has read 1,000
instructions with answers is then rewarded by a rule for its answers to such instructions (ppo, grpo). The same runs are
the tests of `tests/test_behaviour.py`.
"""

from __future__ import annotations

import functools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

FIGURES = Path(__file__).parents[2] / "docs/figures"
PARTS = 4  # of pairs and marked answers
FIRST_LAST = 5  # steps whose mean reward is compared

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What a stage did."""

    run: Path  # whose curves are drawn
    values: list[float]  # what was measured: once per part, or in the first and the last steps
    seconds: float


# ---- data ------------------------------------------------------------------------------------------------------------


def read(shared: Path, name: str) -> Rows:
    rows: Rows = json.loads((shared / "data" / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def short(rows: Rows, length: Callable[[dict[str, Any]], int], characters: int) -> Rows:
    """Rows whose prompts have fewer characters, in a random order."""
    found = [row for row in rows if length(row) < characters]
    return random.Random(0).sample(found, len(found))


def split(rows: Rows, part: int, folder: Path) -> dict[str, Any]:
    """Write one part as held.json and the others as train.json; gives the configuration of the data."""
    folder.mkdir(parents=True)
    held, train = rows[part::PARTS], [row for number, row in enumerate(rows) if number % PARTS != part]
    (folder / "held.json").write_text(json.dumps(held))
    (folder / "train.json").write_text(json.dumps(train))
    return {"train": [str(folder / "train.json")], "eval": [str(folder / "held.json")], "cache": False}


# ---- runs ------------------------------------------------------------------------------------------------------------


def untrained(shared: Path, folder: Path) -> Path:
    """A small model with random weights, and a tokenizer of its own; and what it can read, in corpus.jsonl."""
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    turns = "<|im_start|>user\n{}\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"
    rows = read(shared, "alpaca_en_demo")
    texts = [turns.format(row["instruction"], row["input"], row["output"]) for row in rows]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return save_tiny_model(folder / "random", hidden_size=96, tokenizer=tiny_tokenizer(texts, vocab_size=2000))


def pretrained(base: Path) -> Path:
    """The model after it has read the instructions and their answers three times."""
    import tunesmith

    config = common(base, base.with_name("pretrained"), learning_rate=3e-3, max_steps=400)
    config |= {"stage": {"name": "pretrain", "max_length": 256}, "tracker": ["jsonl"]}
    corpus = {"path": str(base.with_name("corpus.jsonl")), "format": "text"}
    return tunesmith.train({**config, "data": {"train": [corpus], "cache": False}})


def common(base: Path, output_dir: Path, **trainer: Any) -> dict[str, Any]:
    """What all runs share."""
    return {
        "model": {"path": str(base)},
        "template": "chatml",
        "adapter": "full",
        "tracker": {"jsonl": {}, "plot": {"smoothing": 0.7}},
        "precision": "fp32",
        "output_dir": str(output_dir),
        "trainer": {"per_device_train_batch_size": 8, "save_strategy": "no", "logging_steps": 1, **trainer},
    }


def dpo(shared: Path, base: Path, folder: Path) -> Outcome:
    """Values: the share of held-out pairs in the right order, of each part."""

    def length(row: dict[str, Any]) -> int:
        return sum(len(turn["value"]) for turn in row["conversations"])

    config = common(base, folder, num_train_epochs=2, learning_rate=1e-3, eval_strategy="steps", eval_steps=4)
    config["stage"] = {"name": "dpo", "max_length": 256, "precompute_reference": True}
    rows = short(read(shared, "dpo_en_demo"), length, 400)
    return preferences(config, rows, "rewards/accuracies")


def kto(shared: Path, base: Path, folder: Path, shuffled: bool = False) -> Outcome:
    """Values: by how much held-out desirable answers are rewarded above undesirable ones, of each part.

    Args:
        shuffled: deal the labels out anew, so that nothing can be learned that holds for other answers.
    """

    def length(row: dict[str, Any]) -> int:
        return sum(len(turn["content"]) for turn in row["messages"][:-1])

    config = common(base, folder, num_train_epochs=2, learning_rate=1e-3, eval_strategy="steps", eval_steps=4)
    config["trainer"] |= {"per_device_train_batch_size": 16}
    config["stage"] = {"name": "kto", "max_length": 512, "precompute_reference": True}
    rows = short(read(shared, "kto_en_demo"), length, 1000)
    if shuffled:
        labels = random.Random(7).sample([row["label"] for row in rows], len(rows))
        rows = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
    return preferences(config, rows, "rewards/margins")


def preferences(config: dict[str, Any], rows: Rows, metric: str) -> Outcome:
    """Train once for each part; the last value of a metric on what was held out."""
    import tunesmith

    start, runs = time.perf_counter(), []
    folder = Path(config["output_dir"])
    config["trainer"] |= {"per_device_eval_batch_size": 64}  # a whole part: means over both kinds of answers
    for part in range(PARTS):
        data = split(rows, part, folder / f"data-{part}")
        runs.append(tunesmith.train({**config, "data": data, "output_dir": str(folder / f"run-{part}")}))
    name = f"eval_held_{metric}"
    values = [[event[name] for event in events(run) if name in event][-1] for run in runs]
    return Outcome(runs[0], values, time.perf_counter() - start)


def ppo(shared: Path, base: Path, folder: Path) -> Outcome:
    """Values: the mean reward of the first and of the last steps."""
    stage = {"name": "ppo", "total_steps": 50, "batch_size": 32, "mini_batch_size": 16, "ppo_epochs": 2}
    stage |= {"learning_rate": 3e-4, "value_learning_rate": 1e-3, "max_new_tokens": 16, "save_steps": 0}
    return rewards({**common(base, folder / "run"), "stage": stage}, shared)


def grpo(shared: Path, base: Path, folder: Path) -> Outcome:
    """Values: the mean reward of the first and of the last steps."""
    config = common(base, folder / "run", max_steps=50, learning_rate=3e-4, lr_scheduler_type="constant")
    config["trainer"] |= {"per_device_train_batch_size": 32}
    config["stage"] = {"name": "grpo", "num_generations": 8, "max_completion_length": 16}
    return rewards(config, shared)


def rewards(config: dict[str, Any], shared: Path) -> Outcome:
    """Train on short instructions with a rule: 1 for an answer that begins with the word The, else 0."""
    import tunesmith

    start = time.perf_counter()
    prompts = Path(config["output_dir"]).with_name("prompts.json")
    prompts.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read(shared, "alpaca_en_demo") if not row["input"] and len(row["instruction"]) < 100]
    prompts.write_text(json.dumps(rows))
    rule = {"format": {"pattern": r"The\b.*"}}
    run = tunesmith.train({**config, "data": {"train": [str(prompts)], "cache": False}, "reward": rule})
    found = [event["reward"] for event in events(run) if "reward" in event]
    return Outcome(run, [mean(found[:FIRST_LAST]), mean(found[-FIRST_LAST:])], time.perf_counter() - start)


def events(run: Path) -> Rows:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


Stage = Callable[[Path, Path, Path], Outcome]
STAGES: dict[str, Stage] = {
    "dpo": dpo,
    "kto": kto,
    "kto, labels shuffled": functools.partial(kto, shuffled=True),
    "ppo": ppo,
    "grpo": grpo,
}


# ---- report ----------------------------------------------------------------------------------------------------------


MEASURED = {
    "dpo": "held-out pairs in the right order (chance: 0.50)",
    "kto": "held-out reward of desirable over undesirable answers (chance: 0)",
    "ppo": "answers that begin with “The”, first and last five steps",
    "grpo": "answers that begin with “The”, first and last five steps",
}


def line(name: str, outcome: Outcome) -> str:
    """A row of the table in docs/stages.md."""
    stage = name.partition(",")[0]
    if stage in ("ppo", "grpo"):
        result = f"{outcome.values[0]:.2f} → {outcome.values[1]:.2f}"
    else:
        parts = ", ".join(f"{value:.2f}" for value in outcome.values)
        result = f"{mean(outcome.values):.2f} ± {stdev(outcome.values) / PARTS**0.5:.2f} ({parts})"
    return f"| {name} | {MEASURED[stage]} | {result} | {outcome.seconds:.0f} s |"


def main(names: Sequence[str]) -> None:
    import torch
    from inputs import SHARED

    if not (SHARED / "data").is_dir():
        print("behaviour: left out, the real data is not there\n")
        return
    torch.set_num_threads(1)
    FIGURES.mkdir(exist_ok=True)
    print("behaviour: Llama of 2 × 96, V = 2,000, fp32, one thread; ± is the standard error over four parts")
    print("| stage | measured | result | time |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        untaught = untrained(SHARED, Path(scratch))
        taught = pretrained(untaught) if {"ppo", "grpo"} & set(names) else None
        for name in names:
            base = taught if taught and name in ("ppo", "grpo") else untaught
            outcome = STAGES[name](SHARED, base, Path(scratch) / name)
            print(line(name, outcome), flush=True)
            if name in MEASURED:
                shrink(outcome.run / "loss.png", FIGURES / f"{name}.png")
    print()


def shrink(picture: Path, target: Path) -> None:
    """A copy for a page: 1,200 pixels wide, 64 colours."""
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    image.thumbnail((1200, 1200))
    image.quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(STAGES))
