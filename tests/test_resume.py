"""Ctrl-C in the middle of every stage costs nothing: the resumed run ends with the bits of one that went through."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_optimizers import interrupting_at
from tunesmith_library_testing.parts import records

torch = pytest.importorskip("torch")

STEPS, INTERRUPTED = 8, 4
LORA = {"name": "lora", "rank": 4, "dropout": 0.1, "modules_to_save": ["lm_head"]}
PPO = {"batch_size": 4, "mini_batch_size": 2, "ppo_epochs": 2, "max_new_tokens": 4, "learning_rate": 1e-3}
GRPO = {"num_generations": 2, "max_completion_length": 4}
# name -> (options of the stage, options of the run)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pretrain": ({"max_length": 32}, {"adapter": "full"}),
    "sft": ({}, {}),
    "sft-packed": ({"packing": True, "max_length": 64}, {"trainer.gradient_accumulation_steps": 2}),
    "reward": ({}, {"adapter": {"name": "lora", "rank": 4, "dropout": 0.1}}),
    "dpo": ({}, {}),
    "dpo-second-model": ({"rpo_alpha": 1.0, "bco_weight": 1.0}, {"adapter": "full"}),
    "dpo-precomputed": ({"precompute_reference": True}, {}),
    "dpo-precomputed-full": ({"precompute_reference": True}, {"adapter": "full"}),
    "kto": ({}, {}),
    "kto-precomputed": ({"precompute_reference": True, "sft_alpha": 0.5}, {"adapter": "full"}),
    "orpo": ({}, {}),
    "simpo": ({}, {}),
    "ppo": (PPO, {}),
    "ppo-adaptive": (
        {**PPO, "kl_target": 0.1, "kl_horizon": 20.0, "target_kl": 0.01, "normalize_scores": True},
        {"adapter": "full"},
    ),
    "grpo": (GRPO, {}),
    "grpo-reused": ({**GRPO, "num_iterations": 2, "beta": 0.1}, {"trainer.gradient_accumulation_steps": 2}),
    "grpo-second-model": ({**GRPO, "beta": 0.1}, {"adapter": "full"}),
    "rloo": (GRPO, {}),
}
REWARDED = ("ppo", "grpo", "rloo")
QUICK = ("sft", "ppo")
RULE = """
def rule(prompts, completions, rows):
    return [text.count("e") / max(len(text), 1) for text in completions]
"""


def rows(stage: str) -> list[dict[str, Any]]:
    """Twenty-two examples of the kind that a stage learns from: the steps of a run take more than one pass."""
    if stage == "pretrain":
        return [{"text": f"The tide turns {number} times, and nobody counts the waves."} for number in range(100)]
    found = []
    for number in range(22):
        row: dict[str, Any] = {"instruction": f"Say {number}.", "output": f"The tide turns {number} times."}
        if stage in ("dpo", "orpo", "simpo", "reward"):
            row = {"instruction": row["instruction"], "chosen": row["output"], "rejected": f"whale {number}"}
        if stage == "kto":
            row["kto_tag"] = number % 2 == 0
        found.append(row)
    return found


def configuration(case: str, model: Path, folder: Path) -> dict[str, Any]:
    options, more = CASES[case]
    stage = case.partition("-")[0]
    (folder / "train.json").write_text(json.dumps(rows(stage)))
    (folder / "rule.py").write_text(RULE)
    if stage == "ppo":
        options = {**options, "total_steps": STEPS}
    rewarded = {"reward": {"function": {"path": f"{folder / 'rule.py'}:rule"}}} if stage in REWARDED else {}
    form = "text" if stage == "pretrain" else "alpaca"
    return {
        "model.path": str(model),
        "template": "chatml",
        "data": {"train": [{"path": str(folder / "train.json"), "format": form}], "cache": False},
        "stage": {"name": stage, **options},
        "adapter": LORA,
        "tracker": ["jsonl"],
        "precision": "fp32",
        "trainer": {
            "max_steps": STEPS,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-3,
            "logging_steps": 1,
        },
        **rewarded,
        **more,
    }


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_interrupted_and_resumed_is_uninterrupted(case: str, tiny_llama: Path, tmp_path: Path) -> None:
    import tunesmith

    config = configuration(case, tiny_llama, tmp_path)
    whole = tunesmith.train(None, {**config, "output_dir": str(tmp_path / "whole")})
    cut = {**config, "output_dir": str(tmp_path / "cut")}
    with pytest.raises(KeyboardInterrupt, match="resume=true"):
        interrupted = {**cut, "tracker": ["jsonl", "impatient"]}
        tunesmith.train(None, interrupted, catalog=interrupting_at(INTERRUPTED))
    (checkpoint,) = (tmp_path / "cut").glob("checkpoint-*")
    later = 1 if case != "grpo-reused" else 2  # not between two passes over the same answers
    assert checkpoint.name in (f"checkpoint-{INTERRUPTED}", f"checkpoint-{INTERRUPTED + later}")
    assert not list((tmp_path / "cut").glob("*.safetensors"))

    tunesmith.train(None, {**cut, "resume": True})
    events = records(tmp_path / "cut")
    steps = [event["step"] for event in events if "loss" in event]
    assert sorted(set(steps)) == list(range(1, STEPS + 1)), "every step was taken"
    first, second = weights_of(whole), weights_of(tmp_path / "cut")
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]
    assert was_trained(first, tiny_llama)


def weights_of(folder: Path) -> dict[str, Any]:
    """All that a run saved: the model or adapter, and PPO's value head."""
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    return {f"{file.stem}.{name}": weight for file in files for name, weight in load_file(file).items()}


def was_trained(weights: dict[str, Any], model: Path) -> bool:
    """Whether an adapter has left its start, at which its second matrices are zero, or a whole model its own."""
    start = weights_of(model)
    seconds = [weight for name, weight in weights.items() if "lora_B" in name]
    if seconds:
        return all(bool(weight.any()) for weight in seconds)
    shared = start.keys() & weights.keys()
    return len(shared) > 10 and not any(torch.equal(start[name], weights[name]) for name in shared)
