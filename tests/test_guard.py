"""The guard on whole runs: faults are named within twenty steps, and healthy runs raise no warning."""

import json
from pathlib import Path
from typing import Any

import pytest
from following import questions
from test_stages import configuration, rewarded

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

STEPS = 20

PARTS = """
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch
from tunesmith import hookimpl, plugin
from tunesmith_library_training.token_loss import token_loss
from tunesmith_stage_sft import SupervisedFineTuning


def _called(model, batch):
    model.calls = getattr(model, "calls", 0) + 1
    return model.calls, token_loss(model, batch)


def nan(model, batch):
    step, output = _called(model, batch)
    return replace(output, loss=output.loss * float("nan")) if step == 20 else output


def spike(model, batch):
    step, output = _called(model, batch)
    return replace(output, loss=output.loss * 8) if step == 15 else output


def explosion(model, batch):
    step, output = _called(model, batch)
    weight = next(weight for weight in model.parameters() if weight.requires_grad)
    slope = 1e6 * (weight.sum() - weight.sum().detach())
    return replace(output, loss=output.loss + slope) if step == 15 else output


def far(model, settings):
    return torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e3)


def still(model, settings):
    return torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.0)


@plugin
class Dead:
    "A model whose attention adds nothing, so that an adapter of it learns nothing."

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        model = yield
        for name, weight in model.named_parameters():
            if "o_proj" in name:
                weight.data.zero_()
        return model


@plugin
class Masked(SupervisedFineTuning):
    "Nothing is trained."

    @hookimpl
    def collate(self, examples, padding_free, processor):
        batch = super().collate(examples, padding_free, processor)
        return {**batch, "labels": torch.full_like(batch["labels"], -100), "num_items": 0.0}


@plugin
class Unmasked(SupervisedFineTuning):
    "Prompts are trained, though nobody asked for it."

    @hookimpl
    def collate(self, examples, padding_free, processor):
        batch = super().collate([{**each, "labels": each["input_ids"]} for each in examples], padding_free, processor)
        return batch


def same(completions):
    return [1.0] * len(completions)


def counted(completions):
    return [float(text.count("e")) for text in completions]
"""

LORA = {"name": "lora", "rank": 4}
GRPO = {"name": "grpo", "num_generations": 4, "max_completion_length": 8}

FAULTS: dict[str, tuple[set[str], dict[str, Any]]] = {
    "a loss that is no number": ({"non_finite"}, {"loss": "{parts}:nan"}),
    "a learning rate of 1000": ({"loss_rises", "non_finite"}, {"optimizer": "{parts}:far", "adapter": "full"}),
    "labels that are all masked": ({"no_trained_tokens"}, {"stage": "{parts}:Masked"}),
    "prompts that are not masked": ({"all_tokens_trained"}, {"stage": "{parts}:Unmasked"}),
    "an adapter of a dead module": (
        {"zero_gradient"},
        {"patch": {"{parts}:Dead": {}}, "adapter": {**LORA, "target_modules": ["q_proj", "up_proj"]}},
    ),
    "one row many times": ({"duplicate_batches"}, {"rows": 1}),
    "a learning rate of 0": ({"learning_rate_stuck"}, {"optimizer": "{parts}:still"}),
    "a corrupted batch": ({"loss_spike"}, {"loss": "{parts}:spike"}),
    "a gradient that explodes": ({"gradient_explosion"}, {"loss": "{parts}:explosion"}),
    "four rows learned by heart": (
        {"overfitting"},
        {"rows": 4, "held": True, "trainer": {"eval_strategy": "steps", "eval_steps": 2, "learning_rate": 1e-2}},
    ),
    "a learning rate that is far too low": ({"loss_flat"}, {"rows": 4, "trainer": {"learning_rate": 1e-9}}),
    "one reward for all answers": (
        {"no_spread"},
        {"stage": GRPO, "reward": ["{parts}:same"], "trainer": {"max_steps": 5}},
    ),
    "answers without an end": (
        {"length_limit"},
        {
            "stage": {**GRPO, "max_completion_length": 2},
            "reward": ["{parts}:counted"],
            "trainer": {"max_steps": 5},
        },
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has learned nothing."""
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    texts = [" ".join(each) for each in questions(100)]
    tokenizer = tiny_tokenizer([*texts, "user assistant <|im_start|> <|im_end|>"])
    return save_tiny_model(tmp_path_factory.mktemp("base") / "model", tokenizer=tokenizer)


def records_of(count: int, seed: int) -> list[dict[str, str]]:
    """Rows of which none is another one."""
    asked = enumerate(questions(count, seed=seed))
    return [{"instruction": f"{place} {q}", "input": "", "output": right} for place, (q, right, _) in asked]


def with_fault(changes: dict[str, Any], base: Path, folder: Path) -> dict[str, Any]:
    """A short run with logged steps; its data are as many rows as it takes, or those of a fault."""
    (folder / "parts.py").write_text(PARTS)
    changes = json.loads(json.dumps(changes).replace("{parts}", str(folder / "parts.py")))
    count = changes.pop("rows", 160)
    rows = records_of(count, seed=3)
    (folder / "train.json").write_text(json.dumps(rows if count > 1 else rows * 160))
    data: dict[str, Any] = {"train": [str(folder / "train.json")], "cache": False}
    if changes.pop("held", False):
        held = [{**row, "output": row["output"][::-1]} for row in records_of(16, seed=4)]
        (folder / "held.json").write_text(json.dumps(held))
        data["eval"] = [str(folder / "held.json")]
    trainer = {"max_steps": STEPS + 2, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 1}
    return {
        "model": {"path": str(base)},
        "template": "chatml",
        "adapter": LORA,
        "tracker": ["guard"],
        "precision": "fp32",
        "output_dir": str(folder / "out"),
        "data": data,
        **changes,
        "trainer": {**trainer, "save_strategy": "no", **changes.get("trainer", {})},
    }


def found_in(folder: Path) -> list[dict[str, Any]]:
    file = folder / "guard.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_within_twenty_steps(fault: str, base: Path, tmp_path: Path) -> None:
    import tunesmith
    from tunesmith_library_training.finite import NonFinite

    expected, changes = FAULTS[fault]
    said = ""
    try:
        tunesmith.train(with_fault(changes, base, tmp_path))
    except NonFinite as error:
        said = str(error)
    found = {each["name"] for each in found_in(tmp_path / "out") if each["step"] <= STEPS}
    found |= {"non_finite"} if "(non_finite)" in said else set()
    assert found & expected, f"found: {found or 'nothing'}"


def test_a_run_that_was_stopped_goes_on(base: Path, tmp_path: Path) -> None:
    """The checkpoint is of the step at which the guard was heard, and the run ends like one after Ctrl-C."""
    import tunesmith
    from tunesmith.errors import RESUMABLE, Interrupted

    config = with_fault({"rows": 1, "tracker": {"guard": {"stop_on": ["duplicate_batches"]}}}, base, tmp_path)
    with pytest.raises(Interrupted) as caught:
        tunesmith.train(config)
    assert caught.value.code == RESUMABLE
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert int(checkpoint.name.partition("-")[2]) <= 5
    tunesmith.train({**config, "tracker": ["guard"], "resume": True})
    assert (tmp_path / "out" / "adapter_config.json").is_file()


HEALTHY: list[tuple[str, str, dict[str, Any]]] = [
    *(
        (stage, "lora", {})
        for stage in ("pretrain", "sft", "dpo", "kto", "orpo", "simpo", "reward", "ppo", "grpo", "rloo")
    ),
    *((stage, tuning, {}) for stage in ("sft", "dpo") for tuning in ("full", "freeze")),
    ("sft", "lora", {"adapter": {"name": "oft"}}),
    ("sft", "lora", {"adapter": {"name": "lora", "rank": 16, "use_dora": True}}),
    ("sft", "lora", {"optimizer": "muon"}),
    ("sft", "full", {"optimizer": "adam_mini"}),
    ("sft", "lora", {"stage": {"name": "sft", "packing": True, "max_length": 128}}),
    ("sft", "lora", {"trainer": {"logging_steps": 10, "lr_scheduler_type": "constant", "max_steps": 60}}),
]


@pytest.mark.parametrize(("stage", "tuning", "changes"), HEALTHY)
def test_healthy_runs_raise_nothing(
    stage: str, tuning: str, changes: dict[str, Any], pretrained: Path, tmp_path: Path
) -> None:
    import tunesmith

    config = configuration(stage, tuning, pretrained, tmp_path)
    _without_repeats(tmp_path / "train.json")
    config["trainer"]["max_steps"] = 30
    if stage in ("ppo", "grpo", "rloo"):
        config = rewarded(config, stage, tuning, tmp_path)
        (config["stage"] if stage == "ppo" else config["trainer"])["total_steps" if stage == "ppo" else "max_steps"] = (
            10
        )
    for key, value in changes.items():
        config[key] = {**config[key], **value} if key == "trainer" else value
    tunesmith.train({**config, "tracker": ["guard"]})
    assert found_in(tmp_path / "out") == []


def _without_repeats(file: Path) -> None:
    """Number the rows of a small world, in which most of them come several times."""
    rows = [
        {**row, name: f"{place} {row[name]}"}
        for place, row in enumerate(json.loads(file.read_text()))
        for name in ("instruction", "text")
        if name in row
    ]
    file.write_text(json.dumps(rows))
