"""Evaluators while it trains: what they find chooses the best checkpoint, ends the run, and is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith.types import DatasetSplits, Evaluated, TrainingJob
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_testing.parts import collate, compute_loss, examples, load_plain
from tunesmith_trainer_transformers import Transformers

EVERY_STEP: dict[str, Any] = {
    "per_device_train_batch_size": 1,
    "padding_free": False,
    "max_steps": 6,
    "eval_strategy": "steps",
    "eval_steps": 1,
    "save_steps": 1,
}


def job_with(folder: Path, output: Path, scores: list[float], greater_is_better: bool) -> tuple[TrainingJob, list[Any]]:
    """A job whose evaluator, asked again and again, finds these numbers; and its events."""
    from transformers import AutoTokenizer

    tokenizer, told, left = AutoTokenizer.from_pretrained(folder), list[Any](), iter(scores)
    rows = examples(tokenizer)

    def evaluate(model: Any) -> list[Evaluation]:
        measured = Measured(next(left), 0.1, 4, greater_is_better)
        return [Evaluation({"held": {"score": measured}}, [{"dataset": "held", "index": 0}], name="quiz")]

    job = TrainingJob(
        model=load_plain(folder),
        processor=tokenizer,
        data=DatasetSplits(rows, {"held": rows}),
        output_dir=output,
        seed=7,
        precision="fp32",
        resume=False,
        collate=collate,
        compute_loss=compute_loss,
        build_optimizer=lambda model, settings: None,
        emit=told.append,
        evaluate=evaluate,
    )
    return job, told


def weights(folder: Path) -> bytes:
    (file,) = folder.glob("*.safetensors")
    return file.read_bytes()


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_its_metric_chooses_the_best_checkpoint(greater_is_better: bool, tiny_llama: Path, tmp_path: Path) -> None:
    """Which is kept, is the result, and whose evaluation the run tells as its own."""
    scores = [0.5, 0.1, 0.2, 0.9, 0.3, 0.4, 0.2] if greater_is_better else [0.5, 0.9, 0.8, 0.1, 0.7, 0.6, 0.8]
    job, told = job_with(tiny_llama, tmp_path, scores, greater_is_better)
    kept = {"load_best_model_at_end": True, "save_total_limit": 1}
    Transformers(**{**EVERY_STEP, **kept}, metric_for_best_model="quiz_score").fit(job)
    assert [event.metrics["eval_quiz_score"] for event in told if isinstance(event, Evaluated)] == scores[1:]
    assert weights(tmp_path) == weights(tmp_path / "checkpoint-3")
    assert told[-1].metrics["eval_quiz_score"] == scores[3]
    written = tmp_path / "eval" / "quiz" / "step-3"
    assert json.loads((written / "results.json").read_text())["metrics"]["held"]["score"]["value"] == scores[3]
    assert (written / "samples.jsonl").is_file()


def test_its_metric_ends_the_training(tiny_llama: Path, tmp_path: Path) -> None:
    job, told = job_with(tiny_llama, tmp_path, [0.5, 0.1, 0.9, 0.9, 0.3, 0.4, 0.2], True)
    Transformers(**EVERY_STEP, metric_for_best_model="held_quiz_score", early_stopping_patience=2).fit(job)
    assert [event.step for event in told if isinstance(event, Evaluated)] == [1, 2, 3, 4]
    assert told[-1].status == "finished"


def test_the_first_evaluation_stands_beside_the_last(tiny_llama: Path, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level("INFO", logger="tunesmith")
    job, told = job_with(tiny_llama, tmp_path, [0.5, 0.125, 0.25], True)
    Transformers(**{**EVERY_STEP, "eval_steps": 3, "eval_on_start": True}).fit(job)
    ended = told[-1].metrics
    assert (ended["eval_quiz_score_at_start"], ended["eval_quiz_score"]) == (0.5, 0.25)
    assert "eval_quiz_score: 0.5 before the training, 0.25 after it (-0.25)" in caplog.text
    assert caplog.text.count("quiz_score: 0.5 before") == 1, "the only data set is not told twice"
    steps = sorted(folder.name for folder in (tmp_path / "eval" / "quiz").iterdir())
    assert steps == ["step-0", "step-3", "step-6"]
    assert ended["eval_loss_at_start"] != ended["eval_loss"]


def test_a_full_disk_does_not_end_the_training(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: Any, **__: Any) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunesmith_library_training.evaluations.write", full)
    job, told = job_with(tiny_llama, tmp_path, [0.5, 0.25], True)
    Transformers(**{**EVERY_STEP, "max_steps": 1}).fit(job)
    assert told[-1].status == "finished" and told[-1].metrics["eval_quiz_score"] == 0.5
    assert "the evaluation at step 1 was not written: [Errno 28]" in caplog.text
