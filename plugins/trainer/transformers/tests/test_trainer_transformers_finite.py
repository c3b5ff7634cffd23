"""A run whose numbers are not finite any more ends before anything of it is saved, and goes on from where it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tunesmith.errors import RESUMABLE, Interrupted
from tunesmith.types import DatasetSplits, RunEnded
from tunesmith_library_testing.jobs import make_job
from tunesmith_library_testing.parts import compute_loss
from tunesmith_library_training import checkpoints
from tunesmith_library_training.finite import NonFinite
from tunesmith_trainer_transformers import Transformers

ROWS = [{"input_ids": [5, 6, 7 + row, 8], "labels": [5, 6, 7 + row, 8]} for row in range(12)]
POISONED = 7  # the row in whose place something happens: in batches of two the fourth step
OPTIONS = {
    "max_steps": 6,
    "per_device_train_batch_size": 2,
    "train_sampling_strategy": "sequential",
    "padding_free": False,
    "logging_steps": 50,
    "save_steps": 2,
    "save_total_limit": 1,
    "learning_rate": 1e-3,
    "use_cpu": True,
}


def is_poisoned(batch: Any) -> bool:
    return bool((batch["input_ids"] == 7 + POISONED).any())


def loss_is_nan(model: Any, batch: Any) -> Any:
    output = compute_loss(model=model, batch=batch)
    return dataclasses.replace(output, loss=output.loss * float("nan")) if is_poisoned(batch) else output


def gradient_is_nan(model: Any, batch: Any) -> Any:
    """Adds √0 of a weight: the loss stays as it is, its slope there is infinite, times 0."""
    output = compute_loss(model=model, batch=batch)
    root = (next(model.parameters()).sum() * 0).sqrt()
    return dataclasses.replace(output, loss=output.loss + root) if is_poisoned(batch) else output


@pytest.mark.parametrize(
    ("poison", "said", "accumulated"),
    [
        (loss_is_nan, "loss is nan", 1),
        pytest.param(gradient_is_nan, "gradient is nan", 1, marks=pytest.mark.slow),
        pytest.param(loss_is_nan, "loss is nan", 2, marks=pytest.mark.slow),
    ],
)
def test_ends_and_goes_on(poison: Any, said: str, accumulated: int, tiny_llama: Path, tmp_path: Path) -> None:
    """The step is known though it is not logged; with accumulation the forward pass is."""
    options = {**OPTIONS, "per_device_train_batch_size": 2 // accumulated, "gradient_accumulation_steps": accumulated}
    job, told = make_job(tiny_llama, tmp_path / "run", compute_loss=poison, data=DatasetSplits(ROWS))
    with pytest.raises(NonFinite) as caught:
        Transformers(**options).fit(job)
    message = str(caught.value)
    assert message.startswith(f"step 4: the {said} (non_finite). The run ends here; nothing of it is saved.")
    assert ("7 (“" in message) and ("6 (“" in message) == (accumulated == 1)
    assert f"continue after checkpoint-2: tunesmith train {tmp_path / 'run'} resume=true" in message
    assert told[-1] == RunEnded("failed")
    assert [folder.name for folder in (tmp_path / "run").iterdir()] == ["checkpoint-2"]
    assert checkpoints.complete(tmp_path / "run")

    resumed, _ = make_job(tiny_llama, tmp_path / "run", resume=True, data=DatasetSplits(ROWS))
    assert Transformers(**options).fit(resumed)
    plain, _ = make_job(tiny_llama, tmp_path / "plain", data=DatasetSplits(ROWS))
    assert Transformers(**options).fit(plain)
    result, wanted = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "plain"))
    assert result == wanted


def test_weights_are_looked_at_before_they_are_saved(tiny_llama: Path, tmp_path: Path) -> None:
    """The last step's loss and gradient are finite, what the optimizer makes of them is not."""
    import torch

    class Diverging(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            if self.steps == 3:
                with torch.no_grad():
                    self.param_groups[0]["params"][1].view(-1)[3] = float("inf")

    def optimizer(model: Any, settings: Any) -> Any:
        return Diverging(model.parameters(), lr=settings.learning_rate)

    job, _ = make_job(tiny_llama, tmp_path / "run", build_optimizer=optimizer, data=DatasetSplits(ROWS))
    said = r"^trained weights are not finite: model\.layers\.0\.\S+\.weight \(non_finite\)\. "
    with pytest.raises(NonFinite, match=said) as caught:
        Transformers(**{**OPTIONS, "max_steps": 3, "save_strategy": "no"}).fit(job)
    assert "no checkpoint to continue from" in str(caught.value)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_stream_of_data(tiny_llama: Path, tmp_path: Path) -> None:
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter(ROWS)

    job, _ = make_job(tiny_llama, tmp_path / "run", compute_loss=loss_is_nan, data=DatasetSplits(train=Stream()))
    with pytest.raises(NonFinite, match=r"^step 4: the loss is nan"):
        Transformers(**OPTIONS).fit(job)


def test_a_script_that_continues_interrupted_runs_does_not_repeat_it_for_ever() -> None:
    assert issubclass(NonFinite, Interrupted) and NonFinite.code != RESUMABLE == Interrupted.code


def test_overflows_of_fp16_are_left_to_its_scaler_until_the_scale_is_gone() -> None:
    """A gradient that overflows at the smallest scale is none; above it, the scaler leaves the step out."""
    from types import SimpleNamespace

    from tunesmith_library_training.finite import Guard
    from tunesmith_trainer_transformers.loop import SMALLEST_SCALE, Loop

    for scale, ends in ((65536.0, False), (SMALLEST_SCALE, False), (SMALLEST_SCALE / 2, True)):
        guard = Guard(SimpleNamespace(output_dir=Path("none")))  # type: ignore[arg-type]
        scaler = SimpleNamespace(get_scale=lambda scale=scale: scale)
        state = SimpleNamespace(global_step=9)
        loop: Any = SimpleNamespace(
            accelerator=SimpleNamespace(scaler=scaler), run=SimpleNamespace(guard=guard), state=state
        )
        Loop._refuse_vanishing_scale(loop)
        if ends:
            with pytest.raises(NonFinite, match=r"^step 9: the gradient, at a loss scale of 0.000488281, is inf"):
                guard.check()
        else:
            guard.check()
