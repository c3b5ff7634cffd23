"""The examples of a step: kept by a run that goes on with other batches, or changed where that was asked for."""

from __future__ import annotations

import itertools
import logging
import math
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith.types import StepEnded
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.launchers import STANDS_FOR
from tunesmith_library_configuration.records import MARKER
from tunesmith_library_testing.jobs import Shared, difference, drawn, make_job, saved_weights
from tunesmith_library_testing.parts import collate, compute_loss
from tunesmith_library_training import processes
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.batches import Collator, Numbered, NumberedCollator
from tunesmith_trainer_transformers.merging import Merging
from tunesmith_trainer_transformers.steps import accumulation_of, order_of, progress_of

OPTIONS: dict[str, Any] = {
    "num_train_epochs": 2.0,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 0,
    "lr_scheduler_type": "linear",
    "logging_steps": 1,
    "use_cpu": True,
}


def train(model: Path, folder: Path, stop: int | None = None, resume: bool = False, **options: Any) -> Any:
    """A run, which hears SIGINT in its `stop`-th forward pass: what each of its steps was told, and its examples."""
    seen: list[tuple[int, ...]] = []
    passes = itertools.count(1)

    def loss(model: Any, batch: Any) -> Any:
        if next(passes) == stop:
            signal.raise_signal(signal.SIGINT)
        return compute_loss(model, batch)

    def noting(examples: Any, padding_free: bool = False) -> Any:
        seen.extend(tuple(example["input_ids"]) for example in examples)
        return collate(examples, padding_free)

    job, told = make_job(model, folder, compute_loss=loss, collate=noting, resume=resume)
    finished = Transformers(**{**OPTIONS, **options}).fit(job)
    assert finished is (stop is None)
    return [(event.step, event.metrics, event.epoch) for event in told if isinstance(event, StepEnded)], seen


def test_another_batch_size_keeps_the_steps(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the middle of the second epoch: the result is that of a run that went through, and it is said."""
    caplog.set_level(logging.INFO, "tunesmith")
    whole, _ = train(tiny_llama, tmp_path / "whole")
    before, _ = train(tiny_llama, tmp_path / "cut", stop=11)
    after, _ = train(tiny_llama, tmp_path / "cut", resume=True, per_device_train_batch_size=3)
    assert [step for step, *_ in before + after] == [step for step, *_ in whole] == list(range(1, 9))
    for (_, one, epoch), (_, other, same) in zip(whole, before + after, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-6) and same == epoch
        assert other["learning_rate"] == one["learning_rate"]
    assert difference(saved_weights(tmp_path / "whole"), saved_weights(tmp_path / "cut")) < 2e-6
    assert any(line.startswith("examples of a step: 4, as before") for line in caplog.messages)
    assert "another order" not in caplog.text


def test_steps_that_are_changed_on_purpose(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After 3 steps of 4 of 15 examples: the 3 that are left of the epoch, then all in steps of 2; so the schedule."""
    caplog.set_level(logging.INFO, "tunesmith")
    _, first = train(tiny_llama, tmp_path / "cut", stop=5)
    after, rest = train(tiny_llama, tmp_path / "cut", resume=True, gradient_accumulation_steps=1)
    assert any(line.startswith("examples of a step: 2 in place of 4") for line in caplog.messages)
    every = sorted(tuple(row["input_ids"]) for row in drawn(15))
    assert sorted(first[:12] + rest[:3]) == sorted(rest[3:18]) == every and len(rest) == 18
    assert [step for step, *_ in after] == list(range(4, 14))
    assert [epoch for *_, epoch in after] == [(12 + 2) / 15, 1.0, *(1 + 2 * n / 15 for n in range(1, 8)), 2.0]
    rates = [metrics["learning_rate"] for _, metrics, _ in after]
    assert rates == pytest.approx([1e-3 * (1 - step / 16) for step in range(6, 16)]), "of 16 steps of 2, 6 are behind"


@pytest.mark.parametrize("accumulation", [1, 4])
def test_as_many_steps_as_were_asked_for(accumulation: int, tiny_llama: Path, tmp_path: Path) -> None:
    """With max_steps that is their number, whatever epochs they reach; and so falls the learning rate."""
    train(tiny_llama, tmp_path, stop=9, max_steps=12)
    after, rest = train(tiny_llama, tmp_path, resume=True, max_steps=12, gradient_accumulation_steps=accumulation)
    assert [step for step, *_ in after] == list(range(6, 13))
    assert [metrics["learning_rate"] for _, metrics, _ in after] == pytest.approx(
        [1e-3 * (1 - step / 12) for step in range(5, 12)]
    )
    assert len(set(rest[:11])) == 11, "the rest of the second epoch has each of them once"
    epoch = after[-1][2]
    assert epoch == pytest.approx(1 + 4 / 15 + len(rest) / 15), "examples, and not steps, are counted"


@pytest.mark.slow
def test_a_second_resumption_keeps_what_the_first_one_kept(tiny_llama: Path, tmp_path: Path) -> None:
    whole, _ = train(tiny_llama, tmp_path / "whole")
    train(tiny_llama, tmp_path / "cut", stop=3)
    train(tiny_llama, tmp_path / "cut", stop=5, resume=True, per_device_train_batch_size=1)
    after, _ = train(tiny_llama, tmp_path / "cut", resume=True, per_device_train_batch_size=8)
    expected = [metrics["loss"] for _, metrics, _ in whole][-len(after) :]
    assert [metrics["loss"] for _, metrics, _ in after] == pytest.approx(expected, rel=1e-6)


def run_of(tmp_path: Path, train: Any, **told: Any) -> Any:
    """A run that goes on after 5 steps from a checkpoint that tells this."""
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    manifests.seal(checkpoint, MARKER, told)
    return SimpleNamespace(resumed=checkpoint, job=SimpleNamespace(data=SimpleNamespace(train=train), seed=7))


def test_a_checkpoint_of_an_earlier_version(tmp_path: Path) -> None:
    """It told of processes and batches; of two processes one goes on with twice the forward passes."""
    facts = {"world_size": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    run = run_of(tmp_path, drawn(15), facts=facts)
    run.order = order = order_of(Transformers(**OPTIONS), run)
    expected = {"epoch": 2, "examples": 8, "batch": 8, "gradient_accumulation_steps": 2}
    assert order is not None and order.told(5).items() >= expected.items()
    assert accumulation_of(Transformers(**OPTIONS), run) == 4


def test_processes_that_stand_for_others(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Two, each of which a launcher has stand for two: the batch of four processes. What a step has is told."""
    caplog.set_level("INFO", logger="tunesmith")
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setenv(STANDS_FOR, "2")
    run: Any = SimpleNamespace(resumed=None, job=SimpleNamespace(data=SimpleNamespace(train=drawn(15)), seed=7))
    run.order = order_of(Transformers(**OPTIONS), run)
    assert run.order.size.batch == 16 and accumulation_of(Transformers(**OPTIONS), run) == 4
    assert "processes: 2 (each has the whole model; a step has 16 examples in 2 shares)" in caplog.text


def test_a_stream_of_which_a_checkpoint_does_not_say_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an earlier version: the loop reads on to there, and that is said. Other data have no progress."""
    run = run_of(tmp_path, Shared())
    assert progress_of(Transformers(**OPTIONS), run) is None
    assert "checkpoint-5 does not say where it was in the stream" in caplog.text
    run.resumed = None
    began = progress_of(Transformers(**OPTIONS, dataloader_num_workers=3), run)
    assert began is not None and list(began.order) == [0, 1, 2] and (began.piece, began.step) == (2, 2)
    run.job.data.train = [1, 2]
    assert progress_of(Transformers(**OPTIONS), run) is None


def test_a_stream_keeps_its_steps_too(tmp_path: Path) -> None:
    """Another batch size divides its pieces; other forward passes make other steps."""
    told = {"order": [0], "piece": 2, "step": 2, "taken": 10, "states": {}, "gradient_accumulation_steps": 2}
    run = run_of(tmp_path, Shared(), stream=told)
    run.order = None
    for size, passes, expected in [(2, 2, (2, 2, 2)), (1, 2, (2, 2, 4)), (3, 5, (3, 5, 5))]:
        options = {**OPTIONS, "per_device_train_batch_size": size, "gradient_accumulation_steps": passes}
        run.progress = progress = progress_of(Transformers(**options), run)
        assert progress is not None and progress.begun == 10
        assert (progress.piece, progress.step, accumulation_of(Transformers(**options), run)) == expected
        assert math.ceil(progress.piece / progress.accumulation) <= size


def test_a_batch_that_counts_nothing() -> None:
    """The example of a negative place, for a share that has none left; merged it gives way to those that count."""
    rows = drawn(4)
    numbered, collator = Numbered(rows), NumberedCollator(Collator(collate, True))
    batch = collator(numbered.__getitems__([~2]))
    assert batch["input_ids"].flatten().tolist() == rows[2]["input_ids"] and batch["examples"] is None
    assert not any(batch[name] for name in ("num_items", "num_tokens", "num_trained", "num_predicted", "counts"))
    assert collator(numbered.__getitems__([1]))["examples"] == [1]
    assert collator(numbered.__getitems__([])) == {}, "a forward pass that no share needs"
    merging = Merging(collator, 1_000, torch.device("cpu"))
    alone = [merging.hold(numbered.__getitems__(places)) for places in ([], [~2])]
    assert [made["examples"] for made in merging.batches(alone)] == [None]
    assert [made["examples"] for made in merging.batches([*alone, merging.hold(numbered.__getitems__([0]))])] == [[0]]
