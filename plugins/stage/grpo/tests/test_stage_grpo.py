"""The plugin, from prompts to a reward that rises, and its interruptions."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import DataError, TunesmithError
from tunesmith.testing import StageSuite
from tunesmith.testing.parts import CHATML, StubPlan, load_plain
from tunesmith.types import DatasetSplits, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith_stage_grpo import Grpo
from tunesmith_trainer_transformers import Transformers

ROWS = [
    {"prompt": "Sing!", "answer": "la"},
    {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nobody."}]},
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count!"}]},
]
TRAINER = {
    "per_device_train_batch_size": 16,
    "learning_rate": 3e-3,
    "logging_steps": 1,
    "save_strategy": "no",
    "use_cpu": True,
}


class TestGrpo(StageSuite):
    plugin = Grpo
    rows = ROWS
    brings_loop = True


def share_of_e(prompts, completions, rows):
    """The share of an answer's characters that are the letter e."""
    return [[text.count("e") / max(len(text), 1) for text in completions]]


def job_of(folder: Path, output_dir: Path, score=share_of_e, **changes) -> tuple[TrainingJob, list]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHATML.exported
    columns = Grpo().encode(rows=ROWS, processor=tokenizer, template=CHATML)
    data = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    events = []
    job = TrainingJob(
        model=load_plain(folder),
        processor=tokenizer,
        data=DatasetSplits(train=data * 4),
        output_dir=output_dir,
        seed=1,
        precision="fp32",
        resume=False,
        collate=None,
        compute_loss=None,
        build_optimizer=lambda model, settings: None,
        emit=events.append,
        template=CHATML,
        score=score,
    )
    return replace(job, **changes), events


def run(job: TrainingJob, options: dict | None = None, **trainer) -> bool:
    stage = Grpo(**{"max_completion_length": 6, **(options or {})})
    plan = {"trainer": {"transformers": Transformers(**{**TRAINER, **trainer})}, "reward": {"numeric": None}}
    assert stage.check(plan=StubPlan(plan)) == []
    return stage.fit(job=job)


def test_the_reward_rises(tiny_model, tmp_path):
    job, events = job_of(tiny_model, tmp_path)
    assert run(job, max_steps=50, learning_rate=1e-2)
    steps = [event for event in events if isinstance(event, StepEnded)]
    assert [event.step for event in steps] == list(range(1, 51))
    rewards = [event.metrics["reward"] for event in steps]
    assert sum(rewards[-5:]) > 4 * sum(rewards[:5]), rewards
    assert isinstance(events[0], RunStarted) and events[0].total_steps == 50
    assert events[-1].status == "finished" and any(isinstance(e, Saved) and e.path == tmp_path for e in events)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names and "README.md" not in names


def test_what_rewards_are_given(tiny_model, tmp_path):
    seen = {}

    def score(prompts, completions, rows):
        for prompt, row in zip(prompts, rows, strict=True):
            seen[prompt[-1]["content"]] = (prompt, row)
        return [[1.0 * len(text) for text in completions], [0.5] * len(completions)]

    job, _ = job_of(tiny_model, tmp_path, score=score)
    assert run(job, max_steps=3)
    assert seen["Sing!"] == ([{"role": "user", "content": "Sing!"}], {"answer": "la"})
    assert seen["Who?"] == ([{"role": "user", "content": "Who?"}], {"answer": "Nobody."})
    assert [message["role"] for message in seen["Count!"][0]] == ["system", "user"]


def test_an_adapter_with_a_penalty(tiny_model, tmp_path):
    """beta > 0 with LoRA: TRL's reference copy of the adapter is not saved."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_plain(tiny_model), LoraConfig(r=4, target_modules="all-linear"))
    job, events = job_of(tiny_model, tmp_path, model=model)
    assert run(job, {"beta": 0.05}, max_steps=2)
    assert "kl" in next(event.metrics for event in events if isinstance(event, StepEnded))
    assert (tmp_path / "adapter_model.safetensors").is_file() and not (tmp_path / "ref").exists()
    assert not any("ref" in name.split(".") for name in load_file(tmp_path / "adapter_model.safetensors"))


def test_bf16_trains_what_is_fp32(tiny_model, tmp_path):
    """A frozen base in bf16 under fp32 weights that are trained whole: answers are drawn, and all of them learn."""
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"], modules_to_save=["lm_head"])
    model = get_peft_model(load_plain(tiny_model, "bfloat16"), adapter)
    for weight in model.parameters():
        weight.data = weight.data.float() if weight.requires_grad else weight.data
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    job, _ = job_of(tiny_model, tmp_path, model=model, precision="bf16", score=lambda completions, **_: [
        [float(index % 2) for index in range(len(completions))]
    ])  # fmt: skip
    assert run(job, max_steps=3, lr_scheduler_type="constant", warmup_steps=0)
    after = dict(model.named_parameters())
    assert not [name for name, weight in before.items() if torch.equal(weight, after[name])]


def test_interrupted_and_resumed_is_the_same_run(tiny_model, tmp_path):
    job, whole_events = job_of(tiny_model, tmp_path / "whole")
    assert run(job, max_steps=4)
    calls = []

    def interrupting(prompts, completions, rows):
        calls.append(len(completions))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    job, events = job_of(tiny_model, tmp_path / "parts", score=interrupting)
    assert not run(job, max_steps=4)
    assert events[-1].status == "interrupted"
    assert (tmp_path / "parts" / "checkpoint-2" / "complete.json").is_file()
    job, events = job_of(tiny_model, tmp_path / "parts", resume=True)
    assert run(job, max_steps=4)
    assert events[0].resumed_from == 2
    rewards = [
        {event.step: event.metrics["reward"] for event in some if isinstance(event, StepEnded)}
        for some in (events, whole_events)
    ]
    assert rewards[0] == {step: rewards[1][step] for step in (3, 4)}
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole | parts)


def test_what_is_refused(tiny_model, tmp_path):
    job, events = job_of(tiny_model, tmp_path, score=lambda **_: [])
    with pytest.raises(TunesmithError, match="no reward"):
        run(job, max_steps=1)
    assert events[-1].status == "failed"
    with pytest.raises(DataError, match="tools"):
        Grpo().encode(rows=[{"prompt": "a", "tools": [{}]}], processor=job.processor, template=CHATML)


def test_check():
    trainer = {"transformers": Transformers(per_device_train_batch_size=6, eval_strategy="steps")}
    problems = Grpo(epsilon=2.0, num_generations=4).check(plan=StubPlan({"trainer": trainer}))
    keys = {problem.key for problem in problems}
    assert keys == {"stage.epsilon", "stage.num_generations", "reward", "trainer.eval_strategy"}
