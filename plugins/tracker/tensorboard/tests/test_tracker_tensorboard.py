"""Event files as TensorBoard's own reader finds them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_tensorboard import TensorBoard


class TestTensorBoard(TrackerSuite):
    plugin = TensorBoard
    options = {"system_seconds": 0.0}


def run(folder: Path, first: int, last: int, loss: float, **options: Any) -> None:
    tracker = TensorBoard(**{"system_seconds": 0.0, **options})
    tracker.on_event(RunStarted(folder, 6, {"trainer": {"learning_rate": 1e-4, "resume": None}}, first))
    for step in range(first + 1, last + 1):
        tracker.on_event(StepEnded(step, 6, step / 6, {"loss": loss / step}))
    if last == 6:
        tracker.on_event(Evaluated(6, {"eval_held_loss": 2.5, "eval_accuracy": float("nan")}))
        tracker.on_event(Saved(6, folder))
    tracker.on_event(RunEnded("finished" if last == 6 else "interrupted", {"train_loss": 0.25}))


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def text(found: Any, tag: str) -> str:
    return str(found.Tensors(tag)[-1].tensor_proto.string_val[0].decode())


def test_every_value_is_read_back(tmp_path: Path) -> None:
    """Numbers are float32, as TensorBoard keeps them; NaN is NaN."""
    run(tmp_path, 0, 6, 1.0, system_seconds=3600.0)
    folder = tmp_path / "tensorboard"
    expected = [(step, pytest.approx(1 / step, rel=1e-6)) for step in range(1, 7)]
    assert scalars(folder, "train/loss") == expected
    assert scalars(folder, "eval/held_loss") == [(6, 2.5)]
    assert math.isnan(scalars(folder, "eval/accuracy")[0][1])
    assert scalars(folder, "system/ram_gib")[0][0] == 6
    found = read(folder)
    assert "| trainer.learning_rate | 0.0001 |" in text(found, "config")
    assert "0.25" in text(found, "summary") and str(tmp_path) in text(found, "result")


def test_hyper_parameters_are_those_of_the_plugin(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata

    run(tmp_path, 0, 6, 1.0)
    contents = read(tmp_path / "tensorboard").PluginTagToContent(metadata.PLUGIN_NAME)
    begun = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    assert begun.group_name == tmp_path.name
    assert begun.hparams["trainer.learning_rate"].number_value == 1e-4
    ended = metadata.parse_session_end_info_plugin_data(contents[metadata.SESSION_END_INFO_TAG])
    assert ended.status == 1, "STATUS_SUCCESS"


def test_an_evaluation_is_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "eval" / "judge" / "step-6"
    folder.mkdir(parents=True)
    number = {"value": 0.5, "standard_error": 0.1, "count": 2}
    (folder / "results.json").write_text(json.dumps({"metrics": {"held": {"wins": number}}}))
    (folder / "samples.jsonl").write_text('{"index": 0, "wins": 1}\n{"index": 1, "wins": 0}\n')
    run(tmp_path, 0, 6, 1.0, examples=1)
    found = read(tmp_path / "tensorboard")
    assert "| held | wins | 0.5 | 0.1 | 2 |" in text(found, "eval/judge")
    assert text(found, "eval/judge/examples").endswith("| 0 | 1 |\n\n1 more are in the run's folder.")


def test_a_resumed_run_takes_the_place_of_lost_steps(tmp_path: Path) -> None:
    run(tmp_path, 0, 4, 1.0)
    run(tmp_path, 2, 6, 10.0)
    steps = dict(scalars(tmp_path / "tensorboard", "train/loss"))
    assert steps == pytest.approx({1: 1.0, 2: 0.5, 3: 10 / 3, 4: 2.5, 5: 2.0, 6: 10 / 6})
    assert len(scalars(tmp_path / "tensorboard", "train/loss")) == 6


def test_a_new_run_forgets_the_former_one(tmp_path: Path) -> None:
    run(tmp_path, 0, 4, 1.0)
    run(tmp_path, 0, 2, 3.0)
    assert scalars(tmp_path / "tensorboard", "train/loss") == [(1, 3.0), (2, 1.5)]


def test_neither_torch_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tunesmith.types import RunEnded, RunStarted, StepEnded
from tunesmith_tracker_tensorboard import TensorBoard
tracker = TensorBoard(system_seconds=0.0)
for event in (RunStarted(Path(sys.argv[1]), 1, {}), StepEnded(1, 1, 1.0, {"loss": 1.0}), RunEnded("finished")):
    tracker.on_event(event)
print({"torch", "tensorflow"} & set(sys.modules))
"""
    made = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert made.stdout == "set()\n"
    assert scalars(tmp_path / "tensorboard", "train/loss") == [(1, 1.0)]
