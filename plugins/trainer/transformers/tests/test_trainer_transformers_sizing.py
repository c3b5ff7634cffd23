"""`auto`: how many examples go through at once, tried first; the same step on any machine."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import DatasetSplits, StepEnded
from tunesmith_library_estimates.room import Room
from tunesmith_library_testing.jobs import Shared, difference, drawn, make_job, saved_weights
from tunesmith_library_testing.parts import StubPlan, compute_loss
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.step_size import sizes

OPTIONS: dict[str, Any] = {
    "max_steps": 2,
    "logging_steps": 1,
    "warmup_steps": 0,
    "merge_accumulation": False,
    "per_device_train_batch_size": "auto",
}


def test_sizes_cut_a_step_into_passes_of_about_as_many() -> None:
    assert sizes(8) == [1, 2, 3, 4, 8] and sizes(8, even=True) == [1, 2, 4, 8]
    assert sizes(7) == [1, 2, 3, 4, 7] and sizes(1) == [1]


def problems(**options: Any) -> list[str]:
    from tunesmith_trainer_transformers.step_size import size_problems

    others = {key: value for key, value in options.items() if key in ("stage", "optimizer")}
    made = Transformers(**{key: value for key, value in options.items() if key not in others})
    plan = StubPlan({"trainer": {"transformers": made}, **others})
    return [problem.key for problem in size_problems(made, plan)]


def test_what_contradicts_is_refused() -> None:
    class Loop:
        def fit(self) -> None: ...

    assert not problems() and not problems(per_device_train_batch_size="auto", per_device_eval_batch_size="auto")
    assert not problems(global_batch_size=16) and not problems(global_batch_size=16, gradient_accumulation_steps=2)
    assert problems(global_batch_size=16, gradient_accumulation_steps=4) == ["trainer.global_batch_size"]
    assert problems(global_batch_size=4) == ["trainer.global_batch_size"]
    open_ = {"per_device_train_batch_size": "auto"}
    assert problems(**open_, global_batch_size=4, gradient_accumulation_steps=2) == [
        "trainer.gradient_accumulation_steps"
    ]
    assert problems(**open_, stage={"own": Loop()}) == ["trainer.per_device_train_batch_size"]


@pytest.mark.parametrize(("said", "refused"), [(4, True), ("auto", False)])
def test_a_deepspeed_file_leaves_to_the_trainer_what_it_finds(tmp_path: Path, said: Any, refused: bool) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({"gradient_accumulation_steps": said}))
    found = problems(deepspeed=str(path), global_batch_size=16)
    assert found == (["trainer.deepspeed"] if refused else [])
    assert not problems(deepspeed=str(path)), "it is as before without"


def run(
    model: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    total: float | None = None,
    resume: bool = False,
    **options: Any,
) -> list[float]:
    """The losses of a run on a device with so many bytes."""
    from tunesmith_trainer_transformers import fitting, memory, sizing

    def room(device: str) -> Room | None:
        return None if total is None else Room(total, 1.0)

    monkeypatch.setattr(sizing.settled, "__defaults__", (1, room))
    monkeypatch.setattr(fitting, "room_of", room)
    monkeypatch.setattr(memory.computes_again, "__defaults__", (room,))
    made = Transformers(**{**OPTIONS, **options})
    made.configured(StubPlan({"trainer": {"transformers": made}}))
    job, events = make_job(model, folder, resume=resume)
    assert made.fit(job=job)
    return [event.metrics["loss"] for event in events if isinstance(event, StepEnded)]


def needed(model: Path, folder: Path, size: int) -> float:
    """Bytes of a pass of so many examples, with others before it in the step, by the closed forms."""
    from tunesmith_trainer_transformers.memory import longest_batch, peak

    options = Transformers(**{**OPTIONS, "per_device_train_batch_size": size})
    options._examples = 8
    job, _ = make_job(model, folder)
    return peak(options, job, longest_batch(options, job) or 0)


def test_as_many_go_through_as_fit_and_the_numbers_are_those_of_that_number(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = needed(tiny_llama, tmp_path / "asked", 4)
    with caplog.at_level(logging.INFO):
        found = run(tiny_llama, tmp_path / "auto", monkeypatch, room, gradient_checkpointing=False)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "per_device_train_batch_size: 4" in said.replace("=", ": ") and "tried first: 4 examples" in said
    written = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "gradient_checkpointing": False}
    assert run(tiny_llama, tmp_path / "written", monkeypatch, **written) == found
    assert difference(saved_weights(tmp_path / "auto"), saved_weights(tmp_path / "written")) == 0, "bit by bit"


@pytest.mark.slow
def test_a_step_of_so_many_examples(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(tiny_llama, tmp_path / "12", monkeypatch, per_device_train_batch_size=12)
    found = run(tiny_llama, tmp_path / "3", monkeypatch, per_device_train_batch_size=3, global_batch_size=12)
    assert found == pytest.approx(expected, rel=1e-6)
    unknown = run(tiny_llama, tmp_path / "auto", monkeypatch, global_batch_size=12)
    assert unknown == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_run_goes_on_where_there_is_less_memory(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is found anew, and a step keeps its examples."""
    options: dict[str, Any] = {"gradient_checkpointing": False, "lr_scheduler_type": "constant", "save_steps": 1}
    expected = run(tiny_llama, tmp_path / "whole", monkeypatch, **options, max_steps=3)
    much, little = (needed(tiny_llama, tmp_path / "asked", size) for size in (8, 2))
    found = run(tiny_llama, tmp_path / "run", monkeypatch, much, **options)
    found += run(tiny_llama, tmp_path / "run", monkeypatch, little, **options, max_steps=3, resume=True)
    assert found == pytest.approx(expected, rel=1e-6)
    facts = json.loads((tmp_path / "run" / "checkpoint-3" / "complete.json").read_text())
    assert '"per_device_train_batch_size": 2' in json.dumps(facts)


def test_a_trial_that_fails_halves(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    sizes_seen: list[int] = []

    def short(model: Any, batch: dict[str, Any]) -> Any:
        sizes_seen.append(len(batch["cu_seq_lens_q"]) - 1)
        if sizes_seen[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute_loss(model, batch)

    options = Transformers(**{**OPTIONS, "max_steps": 1})
    options.configured(StubPlan({"trainer": {"transformers": options}}))
    options._not_additive = ""
    job, _ = make_job(tiny_llama, tmp_path, compute_loss=short)
    assert options.fit(job=job)
    assert sizes_seen == [8, 4, 2, 2, 2, 2, 2], "8, 4 and 2 were tried, and a step has four times 2"


def test_a_stream_is_cut_evenly(tiny_llama: Path, tmp_path: Path) -> None:
    options = Transformers(**{**OPTIONS, "global_batch_size": 6, "max_steps": 1})
    options.configured(StubPlan({"trainer": {"transformers": options}}))
    job, _ = make_job(tiny_llama, tmp_path / "auto", data=DatasetSplits(train=Shared()))
    assert options.fit(job=job)
    wrong = Transformers(**{**OPTIONS, "per_device_train_batch_size": 4, "global_batch_size": 6})
    job, _ = make_job(tiny_llama, tmp_path / "wrong", data=DatasetSplits(train=Shared()))
    with pytest.raises(TunesmithError, match="whole forward passes"):
        wrong.fit(job=job)


def test_evaluations_have_a_size_of_their_own(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tunesmith_trainer_transformers.sizing import settled

    options = Transformers(**{**OPTIONS, "per_device_train_batch_size": 8, "per_device_eval_batch_size": "auto"})
    job, _ = make_job(tiny_llama, tmp_path, data=DatasetSplits(train=drawn(15), eval={"held": drawn(5)}))
    with caplog.at_level(logging.INFO):
        found = settled(options, job, room=lambda device: Room(1e9, 1.0)).per_device_eval_batch_size
        least = settled(options, job, room=lambda device: Room(1.0, 1.0)).per_device_eval_batch_size
    assert (found, least) == (64, 1)
    assert "per_device_eval_batch_size" in " ".join(record.getMessage() for record in caplog.records)


def test_what_the_trainer_offers_keeps_the_step() -> None:
    from tunesmith_library_estimates.estimation import Estimate
    from tunesmith_library_estimates.machines import Machine
    from tunesmith_trainer_transformers.offers import offers

    def offered(**options: Any) -> list[str]:
        made = Transformers(**options)
        plan = StubPlan({"trainer": {"transformers": made}})
        found = offers(made, Estimate("fp32", machine=Machine(device="cpu")), plan)
        return [" ".join(change.overrides) for change in found]

    merging = "trainer.merge_accumulation=false"
    assert offered(per_device_train_batch_size=4, gradient_accumulation_steps=3, gradient_checkpointing=False) == [
        f"trainer.per_device_train_batch_size=2 trainer.gradient_accumulation_steps=6 {merging}",
        f"trainer.per_device_train_batch_size=1 trainer.gradient_accumulation_steps=12 {merging}",
        "trainer.gradient_checkpointing=true",
        "precision=bf16",
    ]
    assert offered(per_device_train_batch_size="auto", padding_free=False) == [
        "trainer.padding_free=true",
        "precision=bf16",
    ]
