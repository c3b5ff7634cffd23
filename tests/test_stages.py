"""Every stage on every way of tuning: trained for some steps on a small pretrained model, the objective improves, and
what was saved is loaded again."""

import json
from pathlib import Path
from typing import Any

import pytest
from following import WORDS, questions
from tunesmith_library_testing.parts import records

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

TUNING = {
    "full": {"adapter": "full"},
    "freeze": {"adapter": {"name": "freeze", "trainable_layers": 1, "extra_modules": ["norm"]}},
    "lora": {"adapter": {"name": "lora", "rank": 16}},
    "qlora-4": {"adapter": {"name": "lora", "rank": 16}, "quantizer": {"name": "bitsandbytes", "bits": 4}},
    "qlora-8": {"adapter": {"name": "lora", "rank": 16}, "quantizer": {"name": "bitsandbytes", "bits": 8}},
}
PAIRS = ("dpo", "orpo", "simpo", "reward")
REWARDED = ("ppo", "grpo", "rloo")
STAGES = ("pretrain", "sft", *PAIRS, "kto", *REWARDED)


def rows(stage: str) -> list[dict[str, Any]]:
    """Data of the kind that a stage learns from."""
    if stage == "pretrain":
        return [{"text": f"{question} {right}"} for question, right, _ in questions(200, seed=5)]
    if stage in PAIRS:
        return [{"instruction": q, "chosen": right, "rejected": wrong} for q, right, wrong in questions(200, seed=5)]
    if stage == "kto":
        return [
            {"instruction": question, "output": answer, "kto_tag": answer == right}
            for question, right, wrong in questions(100, seed=5)
            for answer in (right, wrong)
        ]
    return [{"instruction": question, "output": right} for question, right, _ in questions(200, seed=5)]


def configuration(stage: str, tuning: str, base: Path, folder: Path) -> dict[str, Any]:
    (folder / "train.json").write_text(json.dumps(rows(stage)))
    rate = 2e-3 if tuning in ("full", "freeze") else 5e-3
    rate *= {"dpo": 0.3, "kto": 0.3, "simpo": 0.3}.get(stage, 1.0)
    rate *= 4.0 if (stage, tuning) == ("reward", "freeze") else 1.0
    return {
        "model": {"path": str(base)},
        "template": "chatml",
        "data": {
            "train": [{"path": str(folder / "train.json"), "format": "text" if stage == "pretrain" else "alpaca"}],
            "cache": False,
        },
        "stage": {"name": stage, **({"max_length": 64} if stage == "pretrain" else {})},
        **TUNING[tuning],
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / "out"),
        "engine": {"temperature": 0, "max_new_tokens": 12},
        "trainer": {
            "max_steps": 240 if stage == "reward" else 80,
            "per_device_train_batch_size": 16,
            "learning_rate": rate,
            "logging_steps": 1,
            "save_strategy": "no",
        },
    }


def rewarded(config: dict[str, Any], stage: str, tuning: str, folder: Path) -> dict[str, Any]:
    """What the stages that generate need beside: a rule to reward, and a loop of their own."""
    (folder / "rule.py").write_text(
        "def rule(prompts, completions, rows):\n"
        '    return [text.count("e") / max(len(text), 1) for text in completions]\n'
    )
    rate = 1e-3 if tuning in ("full", "freeze") else 5e-3
    if stage == "ppo":
        steps = {"total_steps": 24, "batch_size": 16, "mini_batch_size": 16, "ppo_epochs": 2}
        config["stage"] = {"name": "ppo", "learning_rate": rate, "max_new_tokens": 12, **steps}
    else:
        config["stage"] = {"name": stage, "num_generations": 8, "max_completion_length": 12}
        config["trainer"] |= {"max_steps": 24, "learning_rate": rate}
    config["reward"] = {"function": {"path": f"{folder / 'rule.py'}:rule"}}
    return config


def objective(stage: str, run: Path) -> list[float]:
    """What is to fall, at each step."""
    events = records(run)
    name, sign = ("reward", -1.0) if stage in REWARDED else ("loss", 1.0)
    return [sign * event[name] for event in events if name in event]


@pytest.mark.parametrize("tuning", TUNING)
@pytest.mark.parametrize("stage", STAGES)
def test_learns_and_is_loaded_again(stage: str, tuning: str, pretrained: Path, tmp_path: Path) -> None:
    import tunesmith

    config = configuration(stage, tuning, pretrained, tmp_path)
    if stage in REWARDED:
        config = rewarded(config, stage, tuning, tmp_path)
    run = tunesmith.train(config)
    values = objective(stage, run)
    assert len(values) >= 20
    early, late = sum(values[:10]), sum(values[-10:])
    assert late < early, values
    if stage == "reward":
        _scores_the_right_answer_higher(run, pretrained, tuning)
    else:
        (answer,) = tunesmith.chat(run, [[{"role": "user", "content": "What follows two?"}]])
        assert answer.strip()
    if stage == "sft" and tuning != "freeze":
        assert any(word in answer for word in WORDS)


def test_the_reference_of_a_model_in_bf16(pretrained: Path, tmp_path: Path) -> None:
    """Weights that are trained whole are float32 beside a base in bf16."""
    import tunesmith

    config = configuration("dpo", "lora", pretrained, tmp_path)
    config |= {"precision": "bf16", "adapter": {"name": "lora", "modules_to_save": ["lm_head"]}}
    config["trainer"]["max_steps"] = 3
    values = objective("dpo", tunesmith.train(config))
    assert values[0] == pytest.approx(0.693147, abs=1e-3), "before the first step the model is its reference"


def _scores_the_right_answer_higher(run: Path, base: Path, tuning: str) -> None:
    """Loaded by transformers alone, as a sequence classifier."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run)
    if (run / "adapter_config.json").is_file():
        from peft import PeftModel

        plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        model = PeftModel.from_pretrained(plain, run)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(run)
    right_wins = 0
    for question, right, wrong in questions(20, seed=9):
        scores = []
        for answer in (right, wrong):
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            inputs = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
            scores.append(model.eval()(**inputs).logits.item())
        right_wins += scores[0] > scores[1]
    assert right_wins > 10
