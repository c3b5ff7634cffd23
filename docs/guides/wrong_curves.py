"""Make the pictures of docs/guides/wrong_curves.md: short runs of a tiny model, in each of which something is wrong.

    python docs/guides/wrong_curves.py [NAME…]

Without names all are made, in two minutes on one core. What the guard says is printed below each run.
"""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tunesmith
from PIL import Image
from tunesmith_command_plot.plotting import plotted
from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

FOLDER = Path("runs/wrong")  # of the model, data and runs
MODEL = str(FOLDER / "model")
FIGURES = Path("docs/figures")
WIDTH = 480  # of a picture with one panel, in pixels
WORDS = (
    *("fox", "heron", "cat", "horse", "owl", "hare", "lamp", "rope"),
    *("basket", "clock", "kettle", "letter", "harbour", "forest", "garden", "market"),
)

Rows = list[dict[str, Any]]
Options = dict[str, Any]


def question(topic: str, rng: random.Random) -> tuple[str, str]:
    """Something that the model has not learnt, and its answer."""
    words = rng.sample(WORDS, 3)
    return {
        "backwards": (f"Backwards: {' '.join(words)}", " ".join(reversed(words))),
        "last": (f"The last word of: {' '.join(words)}", f"The last one is {words[2]}."),
        "twice": (f"Each word twice: {' '.join(words)}", " ".join(f"{word} {word}" for word in words)),
        "count": (f"How many words are these: {' '.join(words)}", "There are three, and no more."),
    }[topic]


def chat(prompt: str, answer: str) -> dict[str, Any]:
    turns = (("user", prompt), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def write_data(folder: Path) -> None:
    """Write all sets of rows."""
    rng = random.Random(0)
    topics = ("backwards", "last", "twice", "count")
    by_topic = [chat(*question(topic, rng)) for topic in topics for _ in range(60)]
    train = rng.sample(by_topic, len(by_topic))
    test = [chat(*question(rng.choice(topics), rng)) for _ in range(40)]
    facts = [chat(f"What does {word} mean?", " ".join(rng.sample(WORDS, 4))) for word in WORDS]
    noise = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789+/", k=400))
    sets: dict[str, Rows] = {
        "train": train,
        "by_topic": by_topic,
        "test": test,
        "facts": facts[::2],
        "other_facts": facts[1::2],
        "one_bad": [*train, chat("Repeat: fox", noise)],
        "pairs": [pair(rng) for _ in range(60)],
        "repeated": [chat(*repeated(rng)) for _ in range(2000)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def repeated(rng: random.Random) -> tuple[str, str]:
    """What the model learns before anything else."""
    words = " ".join(rng.choices(WORDS, k=rng.randint(2, 5)))
    return f"Repeat: {words}", words


def pair(rng: random.Random) -> dict[str, Any]:
    """Two answers that differ in their last word alone."""
    words = rng.sample(WORDS, 4)
    prompt = [{"role": "user", "content": f"Repeat: {' '.join(words)}"}]
    answers = {"chosen": words, "rejected": [*words[:3], rng.choice([word for word in WORDS if word != words[3]])]}
    turns = {name: [{"role": "assistant", "content": " ".join(said)}] for name, said in answers.items()}
    return {"prompt": prompt, **turns}


def longer(completions: list[str]) -> list[float]:
    """A reward that can be had without being good: the number of words."""
    return [float(len(text.split())) for text in completions]


SFT: Options = {
    "model.path": MODEL,
    "template": "chatml",
    "data.train": ["train.jsonl"],
    "data.cache": False,
    "adapter": "full",
    "precision": "fp32",
    "seed": 0,
    "trainer.max_steps": 80,
    "trainer.per_device_train_batch_size": 8,
    "trainer.learning_rate": 1e-3,
    "trainer.lr_scheduler_type": "constant",
    "trainer.logging_steps": 1,
    "trainer.save_strategy": "no",
    "tracker": {"guard": {}, "jsonl": {}},
}
TEST: Options = {"data.eval": ["test.jsonl"], "trainer.eval_strategy": "steps", "trainer.eval_steps": 10}
FACTS: Options = {**TEST, "data.train": ["facts.jsonl"], "data.eval": ["other_facts.jsonl"]}
KNOWN: Options = {"data.train": ["repeated.jsonl"], "trainer.learning_rate": 1e-4}  # what the model does already
DPO: Options = {"stage": "dpo", "data.train": ["pairs.jsonl"], "trainer.learning_rate": 2e-4}
GRPO: Options = {
    "stage": {"name": "grpo", "num_generations": 8, "max_completion_length": 48, "beta": 0.001},
    "data.train": ["repeated.jsonl"],
    "trainer.per_device_train_batch_size": 16,
    "trainer.max_steps": 30,
    "trainer.learning_rate": 1e-3,
    "reward": {f"{__file__}:longer": {}},
}


@dataclass(frozen=True)
class Case:
    """Runs that are drawn in one picture: what each is called, and what its options are beside those of `SFT`."""

    runs: dict[str, Options]
    metrics: str = "loss"
    smoothing: float = 0.0


CASES = {
    "rate_high": Case({"rate 1e-3": {}, "rate 0.3": {"trainer.learning_rate": 0.3}}),
    "rate_low": Case({"rate 1e-3": {}, "rate 1e-7": {"trainer.learning_rate": 1e-7}}),
    "warmup": Case(
        {
            "no warm-up": {"trainer.learning_rate": 2e-2},
            "20 steps of warm-up": {
                "trainer.learning_rate": 2e-2,
                "trainer.warmup_steps": 20,
                "trainer.lr_scheduler_type": "constant_with_warmup",
            },
        }
    ),
    "overfitting": Case({"8 facts": FACTS}),
    "leaked": Case(
        {"held out": FACTS, "test is in train": {**FACTS, "data.train": ["facts.jsonl", "other_facts.jsonl"]}}
    ),
    "sorted": Case(
        {
            "shuffled": {},
            "by topic": {"data.train": ["by_topic.jsonl"], "trainer.train_sampling_strategy": "sequential"},
        }
    ),
    "bad_row": Case({"clean": {}, "one bad row": {"data.train": ["one_bad.jsonl"], "tracker.guard.window": 10}}),
    "prompt_trained": Case({"answers": {}, "prompts, too": {"stage.train_on_prompt": True}}),
    "template": Case({"chatml, its own": KNOWN, "llama2": {**KNOWN, "template": "llama2"}}),
    "masked": Case(
        {
            "answers": {},
            "almost all masked": {"stage.weights": [{"weight": 0}, {"weight": 1, "part": "end"}]},
        }
    ),
    "clipped": Case({"clipped at 1": {}, "not clipped": {"trainer.max_grad_norm": 1e6}}, "loss,grad_norm"),
    "dpo_falls": Case({"dpo": DPO}, "rewards/chosen,rewards/rejected,rewards/margins"),
    "hacked": Case({"longer": {**GRPO, "trainer.learning_rate": 3e-4}}, "reward,completions/mean_length,kl"),
    "kl": Case({"rate 1e-3": GRPO, "rate 1e-2": {**GRPO, "trainer.learning_rate": 1e-2}}, "kl,reward"),
}


def make(name: str, case: Case) -> None:
    """Train the runs of a case and draw them."""
    folders = []
    for label, options in case.runs.items():
        print(f"--- {name}: {label}")
        changed = {key: [str(FOLDER / file) for file in value] if key in ("data.train", "data.eval") else value
                   for key, value in {**SFT, **options}.items()}  # fmt: skip
        folder = FOLDER / name / label
        tunesmith.train(None, {**changed, "output_dir": str(folder)})
        folders.append(str(folder))
    picture = FIGURES / f"wrong-{name.replace('_', '-')}.png"
    plotted(folders, str(picture), case.metrics.split(","), case.smoothing, "step")
    with Image.open(picture) as drawn:
        width = WIDTH if drawn.width < 1000 else WIDTH * 3 // 2
        size = (width, drawn.height * width // drawn.width)
        drawn.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(128).save(picture, optimize=True)


def make_model() -> None:
    """A tiny Llama that repeats words, and has seen no other question."""
    texts = [str(json.loads(line)) for line in (FOLDER / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    start = save_tiny_model(FOLDER / "start", hidden_size=128, tokenizer=tiny_tokenizer(texts, vocab_size=400))
    changed = {
        "model.path": str(start),
        "data.train": [str(FOLDER / "repeated.jsonl")],
        "output_dir": MODEL,
        "trainer.max_steps": 400,
        "trainer.per_device_train_batch_size": 16,
        "trainer.learning_rate": 3e-3,
        "trainer.lr_scheduler_type": "cosine",
        "trainer.logging_steps": 50,
    }
    tunesmith.train(None, {**SFT, **changed})


def main() -> None:
    if not Path(MODEL).exists():
        write_data(FOLDER)
        make_model()
    for name in sys.argv[1:] or CASES:
        make(name, CASES[name])


if __name__ == "__main__":
    main()
