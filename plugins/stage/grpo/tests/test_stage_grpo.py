"""The plugin, from prompts to a reward that rises, and its interruptions."""

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import DataError, TunesmithError, plugin
from tunesmith.keys import Key
from tunesmith.traits import StageTraits, TrainerTraits
from tunesmith.types import DatasetSplits, Evaluated, RunEnded, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith.validate import structured
from tunesmith_engine_transformers import Transformers as Engine
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain, source_of
from tunesmith_library_training.finite import NonFinite
from tunesmith_stage_grpo import Grpo, Rloo
from tunesmith_stage_grpo.asking import numbered
from tunesmith_stage_grpo.fitting import _reward_function
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


class TestRloo(StageSuite):
    plugin = Rloo
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
        handle=replace(handle_of(folder, tokenizer), source=source_of(folder)),
        open_engine=Engine().open_engine,
    )
    return replace(job, **changes), events


def run(job: TrainingJob, options: dict | None = None, stage=Grpo, place=None, **trainer) -> bool:
    stage = stage(**{"max_completion_length": 6, **(options or {})})
    plan = plan_of(Transformers(**{**TRAINER, **trainer}))
    assert stage.check(plan=plan) == []
    stage.configured(plan=plan)
    return stage.fit(job=replace(job, model=place(model=job.model, job=job)) if place else job)


def plan_of(trainer: object, **more: dict) -> StubPlan:
    return StubPlan({"trainer": {"mine": trainer}, "reward": {"numeric": None}, **more})


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        (Grpo, {}),
        pytest.param(Rloo, {"beta": 0.01}, marks=pytest.mark.slow),
        pytest.param(Rloo, {"beta": 0.01, "normalize_advantages": True}, marks=pytest.mark.slow),
    ],
)
def test_the_reward_rises(tiny_llama, tmp_path, stage, options):
    job, events = job_of(tiny_llama, tmp_path)
    assert run(job, options, stage, max_steps=50, learning_rate=1e-2)
    steps = [event for event in events if isinstance(event, StepEnded)]
    assert [event.step for event in steps] == list(range(1, 51))
    rewards = [event.metrics["reward"] for event in steps]
    assert sum(rewards[-5:]) > 4 * sum(rewards[:5]), rewards
    assert isinstance(events[0], RunStarted) and events[0].total_steps == 50
    assert events[-1].status == "finished" and any(isinstance(e, Saved) and e.path == tmp_path for e in events)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names and "README.md" not in names


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [Grpo, Rloo])
def test_on_a_gpu(tiny_llama, tmp_path, stage, precision):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    job, events = job_of(tiny_llama, tmp_path, precision=precision)
    job = replace(job, data=replace(job.data, eval={"held": job.data.train[:3]}))
    options = {"learning_rate": 1e-2, "use_cpu": False, "eval_strategy": "steps", "eval_steps": 25}
    assert run(job, {"beta": 0.01}, stage, max_steps=50, **options)
    rewards = [event.metrics["reward"] for event in events if isinstance(event, StepEnded)]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5]), rewards
    assert [event.step for event in events if isinstance(event, Evaluated)] == [25, 50]


def test_what_rewards_are_given(tiny_llama, tmp_path):
    seen = {}

    def score(prompts, completions, rows):
        for prompt, row in zip(prompts, rows, strict=True):
            seen[prompt[-1]["content"]] = (prompt, row)
        return [[1.0 * len(text) for text in completions], [0.5] * len(completions)]

    job, _ = job_of(tiny_llama, tmp_path, score=score)
    assert run(job, max_steps=3)
    assert seen["Sing!"] == ([{"role": "user", "content": "Sing!"}], {"answer": "la"})
    assert seen["Who?"] == ([{"role": "user", "content": "Who?"}], {"answer": "Nobody."})
    assert [message["role"] for message in seen["Count!"][0]] == ["system", "user"]


def test_each_of_several_rewards_is_logged(tiny_llama, tmp_path):
    """Under its own name, that of a file's function without the file; a single one is the sum."""
    prompt = numbered(2)[1]["prompt"]
    asked = {"prompts": [prompt] * 2, "completions": [[{"content": "a"}], [{"content": "b"}]]}
    found, logged = job_of(tiny_llama, tmp_path, score=lambda **_: [[1.0, 2.0], [0.5, 0.5]])[0], {}
    reward = _reward_function(found, ["my.py:mine", "format"])
    assert reward(**asked, log_metric=logged.__setitem__) == [1.5, 2.5]
    assert logged == {"rewards/mine/mean": 1.5, "rewards/format/mean": 0.5}
    alone = _reward_function(replace(found, score=lambda **_: [[1.0, 2.0]]), ["mine"])
    assert alone(**asked, log_metric=None) == [1.0, 2.0]


def test_an_adapter_with_a_penalty(tiny_llama, tmp_path):
    """beta > 0 with LoRA: TRL's reference copy of the adapter is not saved."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_plain(tiny_llama), LoraConfig(r=4, target_modules="all-linear"))
    job, events = job_of(tiny_llama, tmp_path, model=model)
    assert run(job, {"beta": 0.05}, max_steps=2)
    assert "kl" in next(event.metrics for event in events if isinstance(event, StepEnded))
    assert (tmp_path / "adapter_model.safetensors").is_file() and not (tmp_path / "ref").exists()
    assert not any("ref" in name.split(".") for name in load_file(tmp_path / "adapter_model.safetensors"))


def test_bf16_trains_what_is_fp32(tiny_llama, tmp_path):
    """A frozen base in bf16 under fp32 weights that are trained whole: answers are drawn, and all of them learn."""
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"], modules_to_save=["lm_head"])
    model = get_peft_model(load_plain(tiny_llama, "bfloat16"), adapter)
    for weight in model.parameters():
        weight.data = weight.data.float() if weight.requires_grad else weight.data
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    job, _ = job_of(tiny_llama, tmp_path, model=model, precision="bf16", score=lambda completions, **_: [
        [float(index % 2) for index in range(len(completions))]
    ])  # fmt: skip
    assert run(job, max_steps=3, lr_scheduler_type="constant", warmup_steps=0)
    after = dict(model.named_parameters())
    assert not [name for name, weight in before.items() if torch.equal(weight, after[name])]


def test_early_stopping_looks_at_the_reward(tiny_llama, tmp_path):
    """Without learning all evaluations are alike: after two that are no better than the first the run is finished."""
    job, events = job_of(tiny_llama, tmp_path)
    job = replace(job, data=replace(job.data, eval={"held": job.data.train[:3], "none": []}))
    options = {"eval_strategy": "steps", "eval_steps": 1, "early_stopping_patience": 2, "learning_rate": 0.0}
    assert run(job, max_steps=9, **options)
    rewards = [event.metrics["eval_reward"] for event in events if isinstance(event, Evaluated)]
    assert len(rewards) == 3 and len(set(rewards)) == 1 and events[-1].status == "finished"


@pytest.mark.parametrize("cut", [None, [0.0, 1 / 6]])
def test_a_step_of_rloo_by_hand(tiny_llama, tmp_path, monkeypatch, cut):
    """Advantages are the rewards over the mean of the others' (arXiv 2402.14740), and a step of gradient
    descent moves the weights by lr/B Σ A ∇ log π(answer), computed here from the model's own logits in float64."""
    from tunesmith_stage_grpo.loops import RlooLoop

    seen = []
    learned = RlooLoop.compute_loss

    def watched(self, model, inputs, *arguments, **options):
        seen.append({name: value.clone() for name, value in inputs.items() if isinstance(value, torch.Tensor)})
        return learned(self, model, inputs, *arguments, **options)

    monkeypatch.setattr(RlooLoop, "compute_loss", watched)
    job, _ = job_of(tiny_llama, tmp_path, build_optimizer=lambda model, settings: torch.optim.SGD(
        model.parameters(), lr=settings.learning_rate
    ))  # fmt: skip
    job = replace(job, data=DatasetSplits(train=job.data.train[:3]))
    exact = load_plain(tiny_llama, "float64")
    size = {"per_device_train_batch_size": 12, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    options = {"num_generations": 4, "beta": 0.0, "reward_clip_range": cut}
    assert run(job, options, Rloo, max_steps=1, learning_rate=0.5, **size)
    (batch,) = seen

    mask = batch["completion_mask"].bool()
    texts = [job.processor.decode(row[some], skip_special_tokens=True) for row, some in
             zip(batch["completion_ids"], mask, strict=True)]  # fmt: skip
    (rewards,) = share_of_e(None, texts, None)
    if cut:
        rewards = [min(max(reward, cut[0]), cut[1]) for reward in rewards]
    prompts = [tuple(row.tolist()) for row in batch["prompt_ids"]]
    advantages = []
    for index, (prompt, reward) in enumerate(zip(prompts, rewards, strict=True)):
        others = [rewards[other] for other in range(len(rewards)) if prompts[other] == prompt and other != index]
        assert len(others) == 3
        advantages.append(reward - sum(others) / 3)
    assert batch["advantages"].tolist() == pytest.approx(advantages, abs=1e-6)
    assert len(set(batch["advantages"].tolist())) > 2, "the rewards must differ"

    objective = torch.zeros((), dtype=torch.float64)
    for row, advantage in enumerate(batch["advantages"].double()):
        some = batch["prompt_mask"][row].bool()
        prompt, answer = batch["prompt_ids"][row][some], batch["completion_ids"][row][mask[row]]
        logits = exact(torch.cat([prompt, answer])[None]).logits[0, len(prompt) - 1 : -1]
        objective = objective + advantage * logits.log_softmax(-1).gather(1, answer[:, None]).sum()
    (objective / len(prompts)).backward()
    moved = dict(job.model.named_parameters())
    before = dict(load_plain(tiny_llama).named_parameters())
    for name, weight in exact.named_parameters():
        torch.testing.assert_close(
            (moved[name] - before[name]).double(), 0.5 * weight.grad, rtol=1e-3, atol=2e-6, msg=name
        )


def test_held_out_prompts_are_evaluated(tiny_llama, tmp_path):
    """The mean reward of each set, at the trainer's steps; evaluating does not change the training, and the best
    evaluation can be the result."""
    plain, _ = job_of(tiny_llama, tmp_path / "plain")
    assert run(plain, max_steps=4, save_strategy="no")
    job, events = job_of(tiny_llama, tmp_path / "evaluated")
    calls = []

    def score(prompts, completions, rows):
        calls.append((len(completions), share_of_e(prompts, completions, rows)[0]))
        return [calls[-1][1]]

    held_out = {"two": job.data.train[:2], "five": job.data.train[:5]}
    found = Evaluation({"two": {"distance": Measured(0.5, greater_is_better=False)}}, name="mine")

    def evaluate(model):
        torch.rand(3)  # which does not change what is drawn in training
        return [found]

    job = replace(job, data=replace(job.data, eval=held_out), score=score, evaluate=evaluate)
    options = {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 4, "save_strategy": "steps",
               "save_steps": 2, "load_best_model_at_end": True}  # fmt: skip
    assert run(job, max_steps=4, **options)
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in evaluations] == [2, 4]
    answers = [scores for size, scores in calls if size != 16]
    assert [len(scores) for scores in answers] == [2, 4, 1] * 2, "one answer to each prompt"
    for event, (two, *five) in zip(evaluations, (answers[:3], answers[3:]), strict=True):
        assert event.metrics["eval_two_reward"] == pytest.approx(sum(two) / 2)
        assert event.metrics["eval_five_reward"] == pytest.approx(sum(map(sum, five)) / 5)
        assert {"eval_two_ended", "eval_five_answer_tokens"} <= event.metrics.keys()
        assert event.metrics["eval_two_mine_distance"] == event.metrics["eval_mine_distance"] == 0.5
    best = max(evaluations, key=lambda event: event.metrics["eval_two_reward"]).step
    saved = load_file(tmp_path / "evaluated" / "model.safetensors")
    kept = load_file(tmp_path / "evaluated" / f"checkpoint-{best}" / "model.safetensors")
    last = load_file(tmp_path / "evaluated" / "checkpoint-4" / "model.safetensors")
    unevaluated = load_file(tmp_path / "plain" / "model.safetensors")
    assert all(torch.equal(saved[name], kept[name]) for name in kept)
    assert all(torch.equal(last[name], unevaluated[name]) for name in unevaluated)
    with pytest.raises(TunesmithError, match=r"metric_for_best_model=rewadr is unknown[\s\S]*reward"):
        run(replace(job, output_dir=tmp_path / "wrong"), max_steps=2, metric_for_best_model="rewadr", **options)
    nothing, _ = job_of(tiny_llama, tmp_path / "nothing")
    with pytest.raises(TunesmithError, match=r"data\.val_size"):
        run(nothing, max_steps=1, eval_strategy="steps")


def test_interrupted_and_resumed_is_the_same_run(tiny_llama, tmp_path):
    job, whole_events = job_of(tiny_llama, tmp_path / "whole")
    assert run(job, max_steps=4)
    calls = []

    def interrupting(prompts, completions, rows):
        calls.append(len(completions))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    job, events = job_of(tiny_llama, tmp_path / "parts", score=interrupting)
    assert not run(job, max_steps=4)
    assert events[-1].status == "interrupted"
    assert (tmp_path / "parts" / "checkpoint-2" / "complete.json").is_file()
    job, events = job_of(tiny_llama, tmp_path / "parts", resume=True)
    assert run(job, max_steps=4)
    assert events[0].resumed_from == 2
    rewards = [
        {event.step: event.metrics["reward"] for event in some if isinstance(event, StepEnded)}
        for some in (events, whole_events)
    ]
    assert rewards[0] == {step: rewards[1][step] for step in (3, 4)}
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole | parts)


def test_numbers_that_are_not_finite_end_the_run(tiny_llama, tmp_path):
    job, events = job_of(tiny_llama, tmp_path)
    calls = itertools.count(1)
    weight = next(job.model.parameters())
    weight.register_hook(lambda gradient: gradient * (float("nan") if next(calls) == 2 else 1.0))
    with pytest.raises(NonFinite, match=r"^step 2: the gradient is nan.*\n.*: “(Sing!|Who\?|Count!)") as caught:
        run(job, max_steps=3, save_strategy="steps", save_steps=1, logging_steps=50)
    assert f"continue after checkpoint-1: tunesmith train {tmp_path}" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"] and events[-1] == RunEnded("failed")


def test_what_is_refused(tiny_llama, tmp_path):
    job, events = job_of(tiny_llama, tmp_path, score=lambda **_: [])
    with pytest.raises(TunesmithError, match="no reward"):
        run(job, max_steps=1)
    assert events[-1].status == "failed"
    with pytest.raises(DataError, match="tools"):
        Grpo().encode(rows=[{"prompt": "a", "tools": [{}]}], processor=job.processor, template=CHATML)


def test_check():
    trainer = {
        "transformers": Transformers(
            per_device_train_batch_size=6, save_steps=5, fsdp="full_shard", gradient_checkpointing="offload"
        )
    }
    problems = Grpo(num_generations=4, num_iterations=2).check(plan=StubPlan({"trainer": trainer}))
    keys = {problem.key for problem in problems}
    named = {"trainer.fsdp", "trainer.save_steps", "trainer.gradient_checkpointing"}
    assert keys == {"stage.num_generations", "reward", *named}
    plan = StubPlan({"reward": {"numeric": None}})
    assert [problem.key for problem in Rloo(reward_clip_range=[1.0]).check(plan=plan)] == ["stage.reward_clip_range"]
    assert Rloo(reward_clip_range=[-1.0, 1.0]).check(plan=plan) == []


def test_the_engine_must_draw():
    plan = StubPlan({"reward": {"numeric": None}, "engine": {"mine": Engine(num_beams=4)}})
    assert [problem.key for problem in Rloo().check(plan=plan)] == ["engine"]


@pytest.mark.parametrize("stage", [Grpo, Rloo])
def test_values_out_of_range_are_refused(stage):
    values = {"num_generations": 1, "temperature": 0.0, "top_p": 0.0, "epsilon": 2.0, "beta": -0.1}
    _, problems = structured(stage, values, Key("stage"), "stage=mine")
    assert [str(problem.key) for problem in problems] == [f"stage.{name}" for name in values]


def test_traits():
    assert Grpo().traits == StageTraits(reads=("prompt",), generates=True, balances_experts=True)
    assert Grpo(beta=0.1).traits.reference and Rloo().traits.reference and not Rloo(beta=0.0).traits.reference


@plugin
class Mine:
    """A third party's trainer."""

    steps: int = 2

    traits: ClassVar[TrainerTraits] = TrainerTraits(training_arguments=True)

    def training_arguments(self, job, **changed):
        from transformers import TrainingArguments

        size = {"per_device_train_batch_size": 8, "max_steps": self.steps, "logging_steps": 1}
        own = {"output_dir": str(job.output_dir), "seed": job.seed, "save_strategy": "no", "report_to": "none"}
        return TrainingArguments(**{**size, **own, "use_cpu": True, "disable_tqdm": True, **changed})


def test_any_trainer_that_gives_arguments_will_do(tiny_llama, tmp_path):
    """What a stage hands to TRL is asked of the trainer's traits, not of its name."""
    job, events = job_of(tiny_llama, tmp_path)
    stage, plan = Grpo(max_completion_length=4), plan_of(Mine(), stage={"grpo": None})
    assert stage.check(plan=plan) == []
    stage.configured(plan=plan)
    assert stage.fit(job=job)
    assert [event.step for event in events if isinstance(event, StepEnded)] == [1, 2]
    silent = plan_of(None)
    assert [problem.key for problem in stage.check(plan=silent)] == ["trainer"]
