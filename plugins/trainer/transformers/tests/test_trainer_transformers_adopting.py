"""Going on with a checkpoint that transformers' own Trainer wrote: as it would have gone on itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import DatasetSplits, RunStarted, StepEnded, TrainingJob
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss, load_plain
from tunesmith_trainer_transformers import Transformers

ROWS = [
    {"input_ids": list(range(5 + n, 17 + n)), "labels": [-100] * (n % 4) + list(range(5 + n + n % 4, 17 + n))}
    for n in range(12)
]
OPTIONS = {"max_steps": 6, "per_device_train_batch_size": 2, "learning_rate": 1e-3, "lr_scheduler_type": "linear"}
OURS = {
    "train_sampling_strategy": "sequential",
    "warmup_ratio": 0.0,
    "logging_steps": 1,
    "padding_free": False,
    "use_cpu": True,
}


def network(model: Path, lora: bool, rank: int = 4) -> Any:
    import peft
    import torch

    torch.manual_seed(0)
    made = load_plain(model)
    targets = ["q_proj", "down_proj"]
    return peft.get_peft_model(made, peft.LoraConfig(r=rank, target_modules=targets)) if lora else made


def weights(model: Any) -> dict[str, Any]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.fixture(scope="module")
def theirs(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, dict[str, Any]]]:
    """By whether it is LoRA: a checkpoint after 3 of 6 steps of transformers' Trainer, and the weights after all 6."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, *given: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    made = {}
    for lora in (True, False):
        folder = tmp_path_factory.mktemp("theirs")
        arguments = TrainingArguments(
            str(folder), **OPTIONS, save_steps=3, logging_steps=1, report_to="none", use_cpu=True, disable_tqdm=True
        )
        trainer = InOrder(
            network(tiny_llama, lora),
            arguments,
            train_dataset=ROWS,
            data_collator=lambda rows: {
                name: value
                for name, value in collate(rows).items()
                if name in ("input_ids", "labels", "attention_mask")
            },
        )
        trainer.train()
        made[lora] = (folder / "checkpoint-3", weights(trainer.model))
    return made


def go_on(checkpoint: Path, model: Any, output_dir: Path, **options: Any) -> list[Any]:
    from transformers import AutoTokenizer

    told: list[Any] = []
    processor = AutoTokenizer.from_pretrained(model.config.name_or_path)
    job = TrainingJob(
        model=model,
        processor=processor,
        data=DatasetSplits(train=ROWS),
        output_dir=output_dir,
        seed=7,
        precision="fp32",
        resume=False,
        collate=collate,
        compute_loss=compute_loss,
        build_optimizer=lambda model, settings: None,
        emit=told.append,
    )
    Transformers(**{**OPTIONS, **OURS, "resume_from": str(checkpoint), **options}).fit(job)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("lora", [True, False])
def test_goes_on_as_the_other_program_would(lora: bool, theirs: Any, tiny_llama: Path, tmp_path: Path) -> None:
    """Step 4 has the weights, moments and learning rate of step 3's end, and so the end has the weights of theirs."""
    checkpoint, expected = theirs[lora]
    model = network(tiny_llama, lora)
    told = go_on(checkpoint, model, tmp_path)
    (started,) = (event for event in told if isinstance(event, RunStarted))
    assert started.resumed_from == 3
    assert [event.step for event in told if isinstance(event, StepEnded)] == [4, 5, 6]
    found = weights(model)
    difference = max(float((found[name] - expected[name]).abs().max()) for name in expected)
    assert found.keys() == expected.keys() and difference < 1e-6
    anew = network(tiny_llama, lora)
    fresh = weights(anew)
    assert max(float((expected[name] - fresh[name]).abs().max()) for name in expected) > 1e-3


@pytest.mark.slow
def test_options_of_now_count(theirs: Any, tiny_llama: Path, tmp_path: Path) -> None:
    told = go_on(theirs[True][0], network(tiny_llama, True), tmp_path, learning_rate=5e-4)
    rates = [event.metrics["learning_rate"] for event in told if isinstance(event, StepEnded)]
    assert rates == pytest.approx([5e-4 * share for share in (3 / 6, 2 / 6, 1 / 6)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lora", "rank", "options", "said"),
    [
        (True, 8, {}, r"8 of its weights are others .*lora_A.weight is \(4, 128\), and here \(8, 128\)"),
        (False, 4, {}, "it holds an adapter, and this run trains a whole model"),
        (True, 4, {"per_device_train_batch_size": 1}, "forward passes had 2 examples, and this run's have 1"),
        (True, 4, {"optim": "sgd"}, "its optimizer was no SGD, for it has no .*momentum"),
    ],
)
def test_what_it_cannot_go_on_with(
    lora: bool, rank: int, options: dict[str, Any], said: str, theirs: Any, tiny_llama: Path, tmp_path: Path
) -> None:
    with pytest.raises(TunesmithError, match=said):
        go_on(theirs[True][0], network(tiny_llama, lora, rank), tmp_path, **options)


def problems(folder: Path, **options: Any) -> list[str]:
    trainer = Transformers(resume_from=str(folder), **options)
    found = trainer.check(StubPlan({"trainer": {"transformers": trainer}}))
    return [f"{problem.message} {problem.advice}" for problem in found if str(problem.key) == "trainer.resume_from"]


def test_what_is_missing_is_told_in_the_plan(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-3"
    checkpoint.mkdir()
    (said,) = problems(checkpoint)
    assert "no trainer_state.json in it" in said
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 3}))
    (said,) = problems(tmp_path)
    assert f"trainer.resume_from={checkpoint}" in said
    (said,) = problems(tmp_path / "checkpoint-4")
    assert "did you mean checkpoint-3?" in said
    (said,) = problems(checkpoint)
    assert "neither an adapter nor a whole model" in said
    (checkpoint / "adapter_config.json").write_text("{}")
    (said,) = problems(checkpoint)
    assert "optimizer.pt, scheduler.pt" in said and f"adapter.path={checkpoint}" in said
    for name in ("optimizer.pt", "scheduler.pt"):
        (checkpoint / name).touch()
    assert problems(checkpoint) == []
    (said,) = problems(checkpoint, fsdp="full_shard")
    assert "spreads" in said
    shutil.rmtree(checkpoint)
