"""What every loop does around its steps: events, checkpoints and the result, whatever happens."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import DatasetSplits, RunEnded, Saved, StepEnded, TrainingJob
from tunesmith_library_training import checkpoints
from tunesmith_library_training.envelope import Outcome, Run, refuse_no_data, train_to_end
from tunesmith_library_training.finite import NonFinite

FACTS = {"num_examples": 3}


class Saves:
    """Stands for a processor or a model: `save_pretrained` writes a file that says what it was given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config = SimpleNamespace(use_cache=True)

    def save_pretrained(self, folder: Path, **options: Any) -> None:
        (folder / self.name).write_text(f"{self.config.use_cache} {options}")


def make_job(output_dir: Path, **changes: Any) -> tuple[TrainingJob, list[Any]]:
    told: list[Any] = []
    parts: dict[str, Any] = {
        "model": Saves("config.json"),
        "processor": Saves("tokenizer.json"),
        "data": DatasetSplits(train=[1, 2, 3]),
        "output_dir": output_dir,
        "seed": 0,
        "precision": "fp32",
        "resume": False,
        "collate": None,
        "compute_loss": None,
        "build_optimizer": None,
        "emit": told.append,
    }
    return TrainingJob(**{**parts, **changes}), told


def test_the_end(tmp_path: Path) -> None:
    """Everything is written before anybody hears of it, with the configuration as it was before the training."""
    job, told = make_job(tmp_path)

    def train(run: Run) -> Outcome:
        assert run.job is job
        job.model.config.use_cache = False
        return Outcome(7, True, {"loss": 1.0}, beside=lambda folder: (folder / "head").touch() or None)

    assert train_to_end(job, train) is True
    assert told == [Saved(7, tmp_path), RunEnded("finished", {"loss": 1.0})]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "head", "tokenizer.json"]
    assert (tmp_path / "config.json").read_text() == "True {}"


def test_a_model_that_can_draw_nothing(tmp_path: Path) -> None:
    """Its probabilities are not finite, which torch says in words of its own."""
    job, told = make_job(tmp_path)

    def train(run: Run) -> Outcome:
        run.emit(StepEnded(3, 9, 0.5, {}))
        torch.multinomial(torch.tensor([math.nan, 0.5]), 1)
        return Outcome(9, True)

    with pytest.raises(NonFinite, match=r"^step 4: no token can be drawn.*\n  try a lower learning rate"):
        train_to_end(job, train)
    assert told[-1] == RunEnded("failed") and not list(tmp_path.iterdir())


def test_another_model_and_its_gathered_weights(tmp_path: Path) -> None:
    job, _ = make_job(tmp_path)
    train_to_end(job, lambda run: Outcome(1, True, model=Saves("whole"), weights={"a": 1}))
    assert (tmp_path / "whole").read_text() == "True {'state_dict': {'a': 1}}"
    assert not (tmp_path / "config.json").exists()


def test_an_interruption(tmp_path: Path) -> None:
    """It reaches the loop, which ends; nothing is saved, the handlers are the former ones."""
    job, told = make_job(tmp_path)
    former = signal.getsignal(signal.SIGINT)

    def train(run: Run) -> Outcome:
        os.kill(os.getpid(), signal.SIGINT)
        assert run.interruption.requested
        return Outcome(2, False, {"loss": 2.0})

    assert train_to_end(job, train) is False
    assert told == [RunEnded("interrupted", {"loss": 2.0})]
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(signal.SIGINT) == former


@pytest.mark.parametrize("error, status", [(LookupError("gone"), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_an_error_is_told_and_passed_on(error: BaseException, status: str, tmp_path: Path) -> None:
    job, told = make_job(tmp_path)

    def train(run: Run) -> Outcome:
        raise error

    with pytest.raises(type(error)):
        train_to_end(job, train)
    assert told == [RunEnded(status)] and list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    job, told = make_job(tmp_path)

    def broken(folder: Path) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        train_to_end(job, lambda run: Outcome(1, True, beside=broken))
    assert told == [RunEnded("failed")] and list(tmp_path.iterdir()) == []


def test_checkpoints_are_kept_and_found(tmp_path: Path) -> None:
    job, told = make_job(tmp_path, resume=True)
    run = Run(job)
    assert run.newest_checkpoint(FACTS) is None
    for step in (1, 2, 3):
        (tmp_path / f"checkpoint-{step}").mkdir()
        run.keep_checkpoint(step, FACTS, 1, best=str(tmp_path / "checkpoint-1"))
    (tmp_path / "checkpoint-4").mkdir()
    assert told == [Saved(step, tmp_path / f"checkpoint-{step}") for step in (1, 2, 3)]
    assert run.newest_checkpoint(FACTS) == tmp_path / "checkpoint-3"
    assert [folder.name for folder in checkpoints.complete(tmp_path)] == ["checkpoint-1", "checkpoint-3"]
    assert not (tmp_path / "checkpoint-4").exists(), "a killed run left it"
    assert Run(make_job(tmp_path)[0]).newest_checkpoint(FACTS) is None, "a new run does not look"


def test_only_the_main_process_tells_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    job, told = make_job(tmp_path)
    assert train_to_end(job, lambda run: Outcome(1, True)) is True
    assert told == [] and list(tmp_path.iterdir()) == []


def test_no_data_is_refused(tmp_path: Path) -> None:
    refuse_no_data(make_job(tmp_path)[0], "prompt")
    refuse_no_data(make_job(tmp_path, data=DatasetSplits(train=iter([])))[0], "prompt")
    with pytest.raises(TunesmithError, match="no prompt was left"):
        refuse_no_data(make_job(tmp_path, data=DatasetSplits(train=[]))[0], "prompt")
