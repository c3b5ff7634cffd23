"""The plugin, from prompts to a reward that rises, and its interruptions."""

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith.keys import Key
from tunesmith.types import DatasetSplits, Evaluated, RunEnded, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith.validate import structured
from tunesmith_engine_transformers import Transformers as Engine
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain, source_of
from tunesmith_library_training.finite import NonFinite
from tunesmith_library_training.prompts import read
from tunesmith_stage_ppo import Ppo
from tunesmith_stage_ppo.policy import Policy

PROMPTS = [{"role": "user", "content": "Who counts the waves?"}]
ROWS = [
    {"prompt": "Sing!"},
    {"messages": [*PROMPTS, {"role": "assistant", "content": "Nobody."}], "source": "sea"},
    {"prompt": PROMPTS, "answer": "7"},
]
QUICK = {
    "batch_size": 16,
    "mini_batch_size": 8,
    "ppo_epochs": 2,
    "max_new_tokens": 6,
    "learning_rate": 3e-3,
    "value_learning_rate": 3e-3,
    "use_cpu": True,
}


class TestPpo(StageSuite):
    plugin = Ppo
    rows = ROWS
    brings_loop = True


def share_of_e(prompts, completions, rows):
    """The share of an answer's characters that are the letter e."""
    return [[text.count("e") / max(len(text), 1) for text in completions]]


def job_of(folder: Path, tokenizer, output_dir: Path, score=share_of_e, **changes) -> tuple[TrainingJob, list]:
    model = load_plain(folder)
    columns = Ppo().encode(rows=ROWS, processor=tokenizer, template=CHATML)
    data = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    events = []
    job = TrainingJob(
        model=model,
        processor=tokenizer,
        data=DatasetSplits(train=data),
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


def run(options: dict, job: TrainingJob, folder: Path, place=None) -> bool:
    stage = Ppo(**{**QUICK, **options})
    stage.configured(plan=StubPlan({"stage": {"ppo": stage}}, values={"model.path": str(folder)}))
    stage.prepare(job=job, load=lambda address, adapter=None: load_plain(Path(address)).requires_grad_(False))
    return stage.fit(job=replace(job, model=place(model=job.model, job=job)) if place else job)


def test_prompts_and_the_rest_of_the_row(tiny_bpe):
    columns = Ppo().encode(rows=ROWS, processor=tiny_bpe, template=CHATML)
    assert tiny_bpe.decode(columns["prompt_input_ids"][1]) == (
        "<|im_start|>user\nWho counts the waves?<|im_end|>\n<|im_start|>assistant\n"
    )
    examples = [read({name: values[index] for name, values in columns.items()}) for index in range(3)]
    assert examples[0] == ([{"role": "user", "content": "Sing!"}], {})
    assert examples[1] == (PROMPTS, {"source": "sea", "answer": "Nobody."})
    assert examples[2] == (PROMPTS, {"answer": "7"})


def test_long_prompts_are_left_out(tiny_bpe, caplog):
    columns = Ppo(max_prompt_length=12).encode(rows=ROWS, processor=tiny_bpe, template=CHATML)
    assert len(columns["row"]) < len(ROWS) and "over 12 tokens" in caplog.text


def test_evaluation_agrees_with_a_plain_softmax(tiny_llama, tiny_bpe):
    """Log-probabilities and entropies of each answer alone, computed in float64 from the model's own logits."""
    policy = Policy(load_plain(tiny_llama), temperature=0.7, precision="fp32")
    torch.nn.init.normal_(policy.head.weight)
    prompts, answers = [[5, 6, 7], [8, 9, 10, 11, 12]], [[20, 21, 22, 23], [30, 31]]
    with torch.no_grad():
        log_probs, entropies, values = policy.evaluate(
            policy.sequences([{"prompt_input_ids": prompt} for prompt in prompts], answers)
        )
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        with torch.no_grad():
            output = policy.model(torch.tensor([prompt + answer]), output_hidden_states=True)
        first = len(prompt) - 1
        logits = output.logits[0, first:-1].double() / 0.7
        expected = logits.log_softmax(-1)
        some = slice(first, first + len(answer))
        ids = torch.tensor(answer)[:, None]
        torch.testing.assert_close(log_probs[row, some].double(), expected.gather(1, ids)[:, 0], atol=1e-5, rtol=1e-5)
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        torch.testing.assert_close(entropies[row, some].double(), entropy, atol=1e-5, rtol=1e-5)
        hidden = output.hidden_states[-1][0, first:-1]
        torch.testing.assert_close(values[row, some], policy.head(hidden)[:, 0], atol=1e-4, rtol=1e-4)
        outside = torch.ones(log_probs.shape[1], dtype=torch.bool)
        outside[some] = False
        assert not log_probs[row, outside].any() and not values[row, outside].any()


@pytest.mark.slow
def test_the_reward_rises(tiny_llama, tiny_bpe, tmp_path):
    job, events = job_of(tiny_llama, tiny_bpe, tmp_path)
    assert run({"total_steps": 50, "init_kl_coef": 0.01, "save_steps": 0, "ppo_epochs": 4}, job, tiny_llama)
    steps = [event for event in events if isinstance(event, StepEnded)]
    rewards = [event.metrics["reward"] for event in steps]
    assert sum(rewards[-5:]) > 4 * sum(rewards[:5]), rewards
    assert steps[0].metrics["kl"] == pytest.approx(0, abs=1e-4) and steps[-1].metrics["kl"] > 1
    assert isinstance(events[0], RunStarted) and events[-1].status == "finished"
    assert any(isinstance(event, Saved) and event.path == tmp_path for event in events)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "value_head.safetensors"} <= names
    assert load_file(tmp_path / "value_head.safetensors")["weight"].shape == (1, 64)


def test_held_out_prompts_are_evaluated(tiny_llama, tiny_bpe, tmp_path):
    """The mean reward of one answer to each, at `eval_steps` and at the end; it does not change the training."""
    options = {"total_steps": 5, "eval_steps": 2, "save_steps": 0}
    plain, _ = job_of(tiny_llama, tiny_bpe, tmp_path / "plain")
    assert run(options, plain, tiny_llama)
    calls = []

    def score(prompts, completions, rows):
        calls.append(share_of_e(prompts, completions, rows)[0])
        return [calls[-1]]

    job, events = job_of(tiny_llama, tiny_bpe, tmp_path / "evaluated", score)
    held_out = {"ten": job.data.train * 3 + job.data.train[:1], "none": []}
    found = Evaluation({"ten": {"distance": Measured(0.5)}}, name="mine")
    job = replace(job, data=DatasetSplits(job.data.train, held_out), evaluate=lambda model: [found])
    assert run(options, job, tiny_llama)
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in evaluations] == [2, 4, 5]
    answers = [scores for scores in calls if len(scores) != 16]
    assert [len(scores) for scores in answers] == [8, 2] * 3
    for number, event in enumerate(evaluations):
        scores = [score for part in answers[2 * number : 2 * number + 2] for score in part]
        assert event.metrics["eval_ten_reward"] == event.metrics["eval_reward"] == pytest.approx(sum(scores) / 10)
        assert event.metrics["eval_ten_mine_distance"] == 0.5, "what evaluators find out comes along"
        assert 1 <= event.metrics["eval_answer_tokens"] <= 6 and 0 <= event.metrics["eval_ended"] <= 1
    assert events[-1].metrics["eval_reward"] == evaluations[-1].metrics["eval_reward"]
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "evaluated"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
def test_on_a_gpu(tiny_llama, tiny_bpe, tmp_path):
    """The reward rises, and an evaluation does not change the training there either."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = []
    for eval_steps in (0, 10):
        job, events = job_of(tiny_llama, tiny_bpe, tmp_path / str(eval_steps))
        job = replace(job, data=DatasetSplits(job.data.train, {"held": job.data.train}))
        options = {"total_steps": 30, "init_kl_coef": 0.01, "save_steps": 0, "ppo_epochs": 4, "use_cpu": False}
        assert run({**options, "eval_steps": eval_steps}, job, tiny_llama)
        assert job.model.device.type == "cuda"
        found.append([event.metrics["reward"] for event in events if isinstance(event, StepEnded)])
    assert sum(found[0][-5:]) > 3 * sum(found[0][:5])
    assert found[0][:11] == pytest.approx(found[1][:11], abs=0.02), "the steps around the first evaluation"


def test_an_adapter_is_its_own_reference_also_in_bf16(tiny_llama, tiny_bpe, tmp_path):
    """A frozen base in bf16 under fp32 weights: no second model is loaded, and all trained weights learn."""
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"], modules_to_save=["lm_head"])
    model = get_peft_model(load_plain(tiny_llama, "bfloat16"), adapter)
    for weight in model.parameters():
        weight.data = weight.data.float() if weight.requires_grad else weight.data
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    job, events = job_of(tiny_llama, tiny_bpe, tmp_path, model=model, precision="bf16")
    stage = Ppo(**{**QUICK, "total_steps": 2})
    stage.prepare(job=job, load=lambda *_, **__: pytest.fail("a second model was loaded"))
    assert stage.fit(job=job)
    after = dict(model.named_parameters())
    assert not [name for name, weight in before.items() if torch.equal(weight, after[name])]
    kl = [event.metrics["kl"] for event in events if isinstance(event, StepEnded)]
    assert kl[0] == 0 != kl[1]
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_interrupted_and_resumed_is_the_same_run(tiny_llama, tiny_bpe, tmp_path):
    options = {"total_steps": 4, "save_steps": 0, "kl_target": 0.5, "kl_horizon": 20.0, "normalize_scores": True}
    job, whole_events = job_of(tiny_llama, tiny_bpe, tmp_path / "whole")
    assert run(options, job, tiny_llama)

    calls = []

    def interrupting(prompts, completions, rows):
        calls.append(len(completions))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return share_of_e(prompts, completions, rows)

    job, events = job_of(tiny_llama, tiny_bpe, tmp_path / "parts", score=interrupting)
    assert not run(options, job, tiny_llama)
    assert events[-1] == RunEnded("interrupted", events[-1].metrics)
    assert (tmp_path / "parts" / "checkpoint-2" / "complete.json").is_file()
    job, events = job_of(tiny_llama, tiny_bpe, tmp_path / "parts", resume=True)
    assert run(options, job, tiny_llama)
    assert events[0].resumed_from == 2

    def metrics_of(events):
        return {event.step: event.metrics for event in events if isinstance(event, StepEnded)}

    assert metrics_of(events) == {step: metrics_of(whole_events)[step] for step in (3, 4)}
    for name in ("model.safetensors", "value_head.safetensors"):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole | parts)


def test_numbers_that_are_not_finite_end_the_run(tiny_llama, tiny_bpe, tmp_path):
    """Before the optimizer's step; and where the optimizer itself makes such weights, before answers are drawn."""
    job, events = job_of(tiny_llama, tiny_bpe, tmp_path)
    calls = itertools.count(1)
    weight = next(job.model.parameters())
    weight.register_hook(lambda gradient: gradient * (float("nan") if next(calls) == 6 else 1.0))
    with pytest.raises(NonFinite, match=r"^step 2: the gradient is nan.*\n  examples, .*: \d \(“<\|im_start") as caught:
        run({"total_steps": 3, "batch_size": 8, "mini_batch_size": 4, "save_steps": 1}, job, tiny_llama)
    assert f"continue after checkpoint-1: tunesmith train {tmp_path}" in str(caught.value)
    assert torch.isfinite(weight).all() and events[-1] == RunEnded("failed")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]

    class Diverging(torch.optim.SGD):
        def step(self, closure=None):
            with torch.no_grad():
                self.param_groups[0]["params"][0].view(-1)[0] = float("inf")

    made = {"build_optimizer": lambda model, settings: Diverging(model.parameters(), lr=1e-3)}
    job, _ = job_of(tiny_llama, tiny_bpe, tmp_path / "other", **made)
    with pytest.raises(NonFinite, match="trained weights are not finite"):
        run({"total_steps": 2, "batch_size": 4, "mini_batch_size": 4, "ppo_epochs": 1}, job, tiny_llama)


def test_what_is_refused(tiny_llama, tiny_bpe, tmp_path):
    job, events = job_of(tiny_llama, tiny_bpe, tmp_path, score=lambda **_: [])
    with pytest.raises(TunesmithError, match="no reward"):
        run({"total_steps": 1}, job, tiny_llama)
    assert events[-1].status == "failed"
    job, _ = job_of(tiny_llama, tiny_bpe, tmp_path, score=lambda completions, **_: [[float("nan")] * len(completions)])
    with pytest.raises(TunesmithError, match="no finite number"):
        run({"total_steps": 1}, job, tiny_llama)
    job, _ = job_of(tiny_llama, tiny_bpe, tmp_path, precision="fp16")
    with pytest.raises(TunesmithError, match="fp16"):
        run({"total_steps": 1}, job, tiny_llama)


def test_check(monkeypatch):
    assert [problem.key for problem in Ppo().check(plan=StubPlan({}))] == ["reward"]
    assert Ppo().check(plan=StubPlan({"reward": {"numeric": None}})) == []
    chosen = {"trainer.load_best_model_at_end": True, "trainer.early_stopping_patience": 3}
    problems = Ppo().check(plan=StubPlan({"reward": {"numeric": None}}, values=chosen))
    assert [problem.key for problem in problems] == list(chosen)
    monkeypatch.setenv("WORLD_SIZE", "3")
    problems = Ppo(batch_size=64, mini_batch_size=6).check(plan=StubPlan({"reward": {"numeric": None}}))
    assert [(problem.key, problem.advice) for problem in problems] == [
        ("stage.batch_size", "write stage.batch_size=66")
    ]


def test_the_engine_must_draw():
    """By options of one that searches, and of one that answers with other weights; the trained model itself will do."""

    def keys(engine):
        plan = StubPlan({"reward": {"numeric": None}, "engine": {"mine": engine}})
        return [problem.key for problem in Ppo().check(plan=plan)]

    assert keys(Engine()) == [] and keys(Engine(num_beams=4)) == ["engine"] == keys(SimpleNamespace())


def test_values_out_of_range_are_refused():
    values = {"lam": 1.5, "batch_size": 0, "learning_rate": 0.0, "clip_range": 0.0, "save_total_limit": 0}
    _, problems = structured(Ppo, values, Key("stage"), "stage=ppo")
    assert [str(problem.key) for problem in problems] == [f"stage.{name}" for name in values]


def test_traits():
    traits = Ppo().traits
    assert traits.reads == ("prompt",) and traits.generates and traits.reference
    assert not Ppo(init_kl_coef=0.0).traits.reference, "without penalty there is none"
