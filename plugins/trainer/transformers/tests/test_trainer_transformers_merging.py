"""Micro-batches that are merged: the gradients, counts and examples of those that are not, over resumptions too."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.traits import PatchTraits, StageTraits
from tunesmith.types import DatasetSplits, StepEnded, TrainingJob
from tunesmith_library_testing.jobs import Shared, difference, drawn, make_job, saved_weights, trained_weights
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.additive import not_additive
from tunesmith_trainer_transformers.merging import HELD, Merging, groups

OPTIONS: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 4,
    "logging_steps": 1,
    "warmup_steps": 0,
}


def interrupting(number: int) -> Any:
    """A loss that sends this process SIGINT in its `number`-th call."""
    calls = [0]

    def loss(model: Any, batch: dict[str, Any]) -> Any:
        calls[0] += 1
        if calls[0] == number:
            signal.raise_signal(signal.SIGINT)
        return compute_loss(model, batch)

    return loss


class Additive:
    traits: ClassVar[StageTraits] = StageTraits(additive=True)

    def compute_loss(self) -> None: ...


def trainer(**options: Any) -> Transformers:
    """A trainer that was told of a stage whose loss is a sum."""
    made = Transformers(**{**OPTIONS, **options})
    made.configured(StubPlan({"stage": {"mine": Additive()}, "trainer": {"transformers": made}}))
    return made


def test_groups_keep_the_order_and_the_budget() -> None:
    assert groups([], 10) == []
    assert groups([3, 3, 3, 3], 6) == [range(2), range(2, 4)]
    assert groups([20, 1, 2, 30, 4], 10) == [range(1), range(1, 3), range(3, 4), range(4, 5)], "what is larger is alone"
    assert groups([1] * 5, 100) == [range(5)]


def test_a_batch_is_of_all_examples_of_its_group() -> None:
    import torch

    merging = Merging(lambda examples: {"places": [place for place, _ in examples]}, 7, torch.device("cpu"))
    micro = [merging.hold([(place, {"input_ids": [0] * size})]) for place, size in enumerate((3, 4, 5, 1, 1))]
    assert [batch["places"] for batch in merging.batches(micro)] == [[0, 1], [2, 3, 4]]
    assert all(list(batch) == [HELD] for batch in micro)


def gradients_of(job: TrainingJob, options: Transformers) -> list[dict[str, Any]]:
    """The gradients of each step of a run that changes no weight."""
    import torch

    seen: list[dict[str, Any]] = []

    class Noting(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            seen.append({n: w.grad.clone() for n, w in job.model.named_parameters() if w.grad is not None})

    def build_optimizer(model: Any, settings: Any) -> Any:
        return Noting([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)

    options.fit(dataclasses.replace(job, build_optimizer=build_optimizer))
    return seen


@pytest.mark.parametrize(("size", "lora"), [(1, False), (2, True)])
def test_gradients_are_those_of_micro_batches(size: int, lora: bool, tiny_llama: Path, tmp_path: Path) -> None:
    """Two epochs of 15 examples, whose last steps have fewer: the same steps, gradients, losses and counts."""
    found, logged, forwards = {}, {}, {}
    for merge in (False, "auto"):
        calls: list[int] = []

        def counting(model: Any, batch: dict[str, Any], calls: list[int] = calls) -> Any:
            calls.append(len(batch["cu_seq_lens_q"]) - 1)
            return compute_loss(model, batch)

        job, told = make_job(tiny_llama, tmp_path / str(merge), lora=lora, compute_loss=counting)
        options = {"max_steps": -1, "num_train_epochs": 2.0, "per_device_train_batch_size": size, "max_grad_norm": 0.0}
        found[merge] = gradients_of(job, trainer(merge_accumulation=merge, **options))
        logged[merge] = [event.metrics for event in told if isinstance(event, StepEnded)]
        forwards[merge] = calls
    assert len(found[False]) == len(found["auto"]) == 2 * -(-15 // (4 * size))
    for alone, merged in zip(found[False], found["auto"], strict=True):
        largest = max(float(gradient.abs().max()) for gradient in alone.values())
        assert difference(alone, merged) <= 1e-6 * largest
    for alone, merged in zip(logged[False], logged["auto"], strict=True):
        assert merged["loss"] == pytest.approx(alone["loss"], rel=1e-6)
        for name in ("num_input_tokens_seen", "trained_token_share", "learning_rate"):
            assert merged[name] == alone[name]
    assert sum(forwards[False]) == sum(forwards["auto"]) == 30
    assert len(forwards[False]) == 2 * -(-15 // size) and len(forwards["auto"]) == len(found["auto"])


@pytest.mark.slow
def test_bf16_is_within_its_rounding(tiny_llama: Path, tmp_path: Path) -> None:
    """Merged or not, gradients under bf16 are as near to those of fp32."""
    exact = gradients_of(make_job(tiny_llama, tmp_path / "exact")[0], trainer(max_steps=1))[0]
    largest = max(float(gradient.abs().max()) for gradient in exact.values())
    off = {}
    for merge in (False, "auto"):
        job, _ = make_job(tiny_llama, tmp_path / str(merge), precision="bf16")
        off[merge] = difference(gradients_of(job, trainer(max_steps=1, merge_accumulation=merge))[0], exact) / largest
    assert off["auto"] <= max(1.5 * off[False], 2**-8)


def test_what_stays_alone_is_told(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Merged where it fits; the choice is said once, and how much of the run it did not reach."""
    caplog.set_level(logging.INFO, "tunesmith")
    rows = [{"input_ids": [7] * size, "labels": [7] * size} for size in (3_000, 5, 6, 3_000) * 2]
    rows = [{name: values[:120] if size else values for name, values in row.items()} for size, row in enumerate(rows)]
    job, _ = make_job(tiny_llama, tmp_path, data=DatasetSplits(rows))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tunesmith_trainer_transformers.budget.enough", lambda device: 16)
        trainer(max_steps=2, train_sampling_strategy="sequential").fit(job)
    said = [line for line in caplog.messages if line.startswith("micro-batches")]
    assert said[0].startswith("micro-batches: merged (of the 4 of a step, of 1 each") and "3,000 tokens" in said[0]
    assert said[1].startswith("micro-batches: 7 of 8 merged (") and len(said) == 2


def unmerged(options: Transformers, job: TrainingJob, caplog: pytest.LogCaptureFixture, padding_free: bool) -> str:
    from tunesmith_trainer_transformers.budget import merged_tokens

    caplog.clear()
    assert merged_tokens(options, job, padding_free=padding_free, device="cpu", recomputes=False) is None
    (said,) = [line for line in caplog.messages if line.startswith("micro-batches: not merged")] or [""]
    return said


def test_refusals_are_said(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from transformers import AutoModelForCausalLM, MixtralConfig

    caplog.set_level(logging.INFO, "tunesmith")
    job, _ = make_job(tiny_llama, tmp_path)
    assert "batches are padded" in unmerged(trainer(), job, caplog, False)
    assert "share a model" in unmerged(trainer(fsdp="full_shard"), job, caplog, True)
    assert "the stage is not known" in unmerged(Transformers(**OPTIONS), job, caplog, True)
    endless = dataclasses.replace(job, data=DatasetSplits(Shared()))
    assert "how long the examples are is not known" in unmerged(trainer(), endless, caplog, True)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    mixture = MixtralConfig(vocab_size=16, num_key_value_heads=1, output_router_logits=True, **small)
    balanced = dataclasses.replace(job, model=AutoModelForCausalLM.from_config(mixture))
    assert "balance loss" in unmerged(trainer(), balanced, caplog, True)
    assert unmerged(trainer(merge_accumulation=False), job, caplog, True) == "", "asked for"
    assert unmerged(trainer(gradient_accumulation_steps=1), job, caplog, True) == "", "nothing to merge"


class Whole:
    traits: ClassVar[PatchTraits] = PatchTraits()

    def compute_loss(self) -> None: ...


class Parted(Whole):
    additive: ClassVar[bool] = True


def test_who_computes_the_loss_says_whether_it_is_a_sum() -> None:
    assert not_additive(StubPlan({"stage": {"mine": Additive()}})) == ""
    assert "stage=mine" in not_additive(StubPlan({"stage": {"mine": Whole()}}))
    assert "patch=theirs" in not_additive(StubPlan({"stage": {"mine": Additive()}, "patch": {"theirs": Whole()}}))
    assert not_additive(StubPlan({"stage": {"mine": Additive()}, "patch": {"theirs": Parted()}})) == ""
    assert not_additive(StubPlan({"stage": {"mine": Whole()}, "loss": {"theirs": Parted()}})) == ""
    assert "loss=theirs" in not_additive(StubPlan({"stage": {"mine": Additive()}, "loss": {"theirs": Whole()}}))


def test_merged_and_resumed_is_uninterrupted(tiny_llama: Path, tmp_path: Path) -> None:
    """Ctrl-C in a merged step in the midst of an epoch: the resumed run ends with the same bits, dropout and all."""
    kind = {"dropout": 0.2, "lora": True}
    whole, _ = make_job(tiny_llama, tmp_path / "whole", **kind)
    assert trainer(max_steps=6).fit(whole) is True
    cut, _ = make_job(tiny_llama, tmp_path / "cut", compute_loss=interrupting(2), **kind)
    assert trainer(max_steps=6).fit(cut) is False
    rest, told = make_job(tiny_llama, tmp_path / "cut", resume=True, **kind)
    assert trainer(max_steps=6).fit(rest) is True
    assert told[0].resumed_from == 2
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0


@pytest.mark.slow
def test_a_run_without_merging_goes_on_merged(tiny_llama: Path, tmp_path: Path) -> None:
    """From the same examples on: without dropout it ends as if nothing had been merged, within rounding."""
    whole, _ = make_job(tiny_llama, tmp_path / "whole")
    trainer(max_steps=6, merge_accumulation=False).fit(whole)
    cut, _ = make_job(tiny_llama, tmp_path / "cut", compute_loss=interrupting(6))
    assert trainer(max_steps=6, merge_accumulation=False).fit(cut) is False
    rest, told = make_job(tiny_llama, tmp_path / "cut", resume=True)
    assert trainer(max_steps=6).fit(rest) is True and told[0].resumed_from == 2
    assert difference(trained_weights(rest.model), trained_weights(whole.model)) < 2e-5


def test_a_stream_is_merged_and_gone_on_with(tiny_llama: Path, tmp_path: Path) -> None:
    """Data that are read in shares: no row again, and the same numbers as without an interruption."""
    from torch.utils.data import IterableDataset

    class Torch(Shared, IterableDataset[Any]):
        pass

    def run(folder: Path, stop_at: int = 0, **changes: Any) -> tuple[Any, list[Any], int]:
        stream, calls = Torch(), [0]

        def counting(model: Any, batch: dict[str, Any]) -> Any:
            calls[0] += 1
            return compute_loss(model, batch)

        job, told = make_job(
            tiny_llama, folder, data=DatasetSplits(stream), dropout=0.1, compute_loss=counting, **changes
        )

        def emit(event: Any) -> None:
            told.append(event)
            if isinstance(event, StepEnded) and event.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        options = trainer(max_steps=5)
        options._beside = dataclasses.replace(options._beside, most=20)
        options.fit(dataclasses.replace(job, emit=emit))
        return stream, told, calls[0]

    _, _, calls = run(tmp_path / "whole")
    assert calls == 5, "one forward pass a step"
    run(tmp_path / "cut", stop_at=2)
    stream, told, _ = run(tmp_path / "cut", resume=True)
    step = told[0].resumed_from
    assert step in (2, 3) and sorted(stream.seen) == list(range(step * 4, 20))
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0


def test_data_that_cannot_be_made_a_batch_end_the_run(tiny_llama: Path, tmp_path: Path) -> None:
    """As they do where micro-batches are not merged: the steps before are kept."""
    from tunesmith.errors import DataError
    from tunesmith_library_training.bad_data import BadData

    def broken(examples: Any, padding_free: bool) -> Any:
        if any(len(example["input_ids"]) == 3 for example in examples):
            raise DataError("my.jsonl, line 7: no image")
        return collate(examples, padding_free)

    rows = [*drawn(9), {"input_ids": [7, 8, 9], "labels": [7, 8, 9]}, *drawn(6)]
    job, _ = make_job(tiny_llama, tmp_path, data=DatasetSplits(rows), collate=broken)
    with pytest.raises(BadData, match=r"(?s)line 7.*checkpoint-2"):
        trainer(train_sampling_strategy="sequential").fit(job)


def test_the_examples_of_a_bad_step_are_named(tiny_llama: Path, tmp_path: Path) -> None:
    from tunesmith_library_training.finite import NonFinite

    def infinite(model: Any, batch: dict[str, Any]) -> Any:
        output = compute_loss(model, batch)
        bad = bool((batch["input_ids"] == 299).any())
        return dataclasses.replace(output, loss=output.loss * float("inf")) if bad else output

    rows = [*drawn(5), {"input_ids": [7, 299, 9], "labels": [7, 8, 9]}, *drawn(6)]
    job, _ = make_job(tiny_llama, tmp_path, data=DatasetSplits(rows), compute_loss=infinite)
    with pytest.raises(NonFinite, match=r"(?s)step 2.*4 \(.*5 \(.*6 \(.*7 \("):
        trainer(train_sampling_strategy="sequential").fit(job)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_hand_over_examples(workers: int, tiny_llama: Path, tmp_path: Path) -> None:
    job, _ = make_job(tiny_llama, tmp_path / str(workers))
    trainer(dataloader_num_workers=workers).fit(job)
    alone, _ = make_job(tiny_llama, tmp_path / "alone")
    trainer(merge_accumulation=False).fit(alone)
    assert difference(trained_weights(job.model), trained_weights(alone.model)) < 2e-5


def main(**arguments: Any) -> None:
    """The program of several processes: fit a job of `trainer`."""
    model, folder = Path(arguments["model"]), Path(arguments["output_dir"])
    calls = [0]

    def counting(model: Any, batch: dict[str, Any]) -> Any:
        calls[0] += 1
        return compute_loss(model, batch)

    def emit(event: Any) -> None:
        if isinstance(event, StepEnded):
            print("step", event.step, event.metrics.get("loss"), event.metrics.get("num_input_tokens_seen"), flush=True)

    job, _ = make_job(model, folder, data=DatasetSplits(drawn(21)), compute_loss=counting, emit=emit)
    trainer(**arguments["options"]).fit(job)
    (folder.parent / f"passes-{folder.name}-{os.environ['RANK']}").write_text(str(calls[0]))


@pytest.mark.slow
def test_processes_merge_their_own(tiny_llama: Path, tmp_path: Path) -> None:
    """Two processes have the same examples in each step, merged or not, also at the end of an epoch."""
    options = {"max_steps": -1, "num_train_epochs": 2.0, "gradient_accumulation_steps": 3}
    outputs = {}
    for merge in (False, "auto"):
        arguments = {"options": {**options, "merge_accumulation": merge}, "output_dir": tmp_path / str(merge)}
        given = json.dumps({"model": tiny_llama, **arguments}, default=str)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        output = subprocess.run(
            [*launcher, str(Path(__file__).resolve()), given],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert output.returncode == 0, output.stderr
        outputs[merge] = output.stdout
    assert difference(saved_weights(tmp_path / "False"), saved_weights(tmp_path / "auto")) < 2e-5
    told = {merge: re.findall(r"^step \d+ ([\d.]+) ([\d.]+)$", output, re.M) for merge, output in outputs.items()}
    assert len(told[False]) == len(told["auto"]) == 8
    for alone, merged in zip(told[False], told["auto"], strict=True):
        assert [*map(float, merged)] == pytest.approx([*map(float, alone)], rel=1e-5)
    for merge, count in ((False, "22"), ("auto", "8")):
        assert [(tmp_path / f"passes-{merge}-{rank}").read_text() for rank in (0, 1)] == [count, count]


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
