"""What every training loop keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.types import DatasetSplits, RunEnded, RunStarted, StepEnded, TrainingJob

from tunesmith_library_testing.jobs import make_job
from tunesmith_library_testing.parts import collate, examples, load_plain, mean_loss
from tunesmith_library_testing.suites.plugin import PluginSuite


class TrainerSuite(PluginSuite):
    """The tests of a `trainer` plugin, which trains a tiny Llama on six chats for some steps on the CPU."""

    kind = "trainer"
    options: ClassVar[dict[str, Any]] = {"max_steps": 4, "learning_rate": 1e-3}
    steps: ClassVar[int] = 4  # that a run with `options` has

    def job(self, folder: Path, tokenizer: Any, output_dir: Path, **changes: Any) -> tuple[TrainingJob, list[Any]]:
        """A job, and the list in which its events are collected."""
        parts = {"processor": tokenizer, "data": DatasetSplits(train=examples(tokenizer) * 3), "seed": 0}
        return make_job(folder, output_dir, **{**parts, **changes})

    def fit(self, job: TrainingJob) -> bool:
        """What the hook gives."""
        return self.manager().hook.fit(job=job)

    def test_trains(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """The loss of the training set falls, and the hook says that the end was reached."""
        job, _ = self.job(tiny_llama, tiny_bpe, tmp_path / "run")
        batch = collate(examples(tiny_bpe))
        before = mean_loss(load_plain(tiny_llama), batch).item()
        assert self.fit(job) is True
        assert mean_loss(job.model.eval(), batch).item() < before

    def test_saves_what_was_trained(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """The output folder holds the trained weights as safetensors, and the tokenizer."""
        from transformers import AutoTokenizer

        job, _ = self.job(tiny_llama, tiny_bpe, tmp_path / "run")
        self.fit(job)
        saved = load_plain(tmp_path / "run").state_dict()
        assert all(bool((saved[name] == weight).all()) for name, weight in job.model.state_dict().items())
        assert AutoTokenizer.from_pretrained(tmp_path / "run").get_vocab() == tiny_bpe.get_vocab()
        assert not [*(tmp_path / "run").glob("*.bin"), *(tmp_path / "run").glob("*.pt")]

    def test_tells_the_run(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """RunStarted, every step once and in order, a loss among the metrics, RunEnded("finished")."""
        job, told = self.job(tiny_llama, tiny_bpe, tmp_path / "run")
        self.fit(job)
        assert isinstance(told[0], RunStarted) and told[0].total_steps == self.steps
        assert told[0].output_dir == tmp_path / "run"
        assert isinstance(told[-1], RunEnded) and told[-1].status == "finished"
        assert [event.step for event in told if isinstance(event, StepEnded)] == list(range(1, self.steps + 1))
        assert [event for event in told if isinstance(event, RunStarted | RunEnded)] == [told[0], told[-1]]

    def test_tells_a_failure(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """An error of the loss reaches the caller, after RunEnded("failed"); no finished model is left."""

        def broken(model: Any, batch: dict[str, Any]) -> Any:
            raise LookupError("the loss is gone")

        job, told = self.job(tiny_llama, tiny_bpe, tmp_path / "run", compute_loss=broken)
        with pytest.raises(LookupError, match="the loss is gone"):
            self.fit(job)
        assert isinstance(told[-1], RunEnded) and told[-1].status == "failed"
        assert not list((tmp_path / "run").glob("*.safetensors"))

    def test_uses_the_optimizer(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """An optimizer that a plugin brings is used; it is asked for once."""
        import torch

        asked = []

        def build_optimizer(model: Any, settings: Any) -> Any:
            asked.append(settings)
            return torch.optim.SGD(model.parameters(), lr=0.0)

        job, _ = self.job(tiny_llama, tiny_bpe, tmp_path / "run", build_optimizer=build_optimizer)
        self.fit(job)
        assert len(asked) == 1 and asked[0].learning_rate > 0
        before = load_plain(tiny_llama).state_dict()
        same = [name for name, weight in job.model.state_dict().items() if bool((weight == before[name]).all())]
        assert len(same) == len(before), "the weights moved although the optimizer's learning rate is 0"

    def test_same_again(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """The same job gives the same weights."""
        jobs = [self.job(tiny_llama, tiny_bpe, tmp_path / name)[0] for name in ("first", "second")]
        for job in jobs:
            self.fit(job)
        first, second = (job.model.state_dict() for job in jobs)
        assert all(bool((weight == second[name]).all()) for name, weight in first.items())

    def test_resumes(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """`resume` with nothing to resume from starts afresh, and reaches the end."""
        job, told = self.job(tiny_llama, tiny_bpe, tmp_path / "run", resume=True)
        assert self.fit(job) is True
        assert told[0].resumed_from == 0
