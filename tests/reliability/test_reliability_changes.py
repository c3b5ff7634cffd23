"""A run that goes on says what it has otherwise than before: what can change takes effect, what cannot is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from short_runs import CUT, STEPS, trained
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import records


@pytest.fixture
def cut(short_runs: Any) -> tuple[dict[str, Any], Path]:
    """A configuration and the folder of an interrupted run; its model is a copy that may be changed for a moment."""
    return short_runs.config, short_runs.cut


def test_a_learning_rate_takes_effect(cut: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The schedule goes on with the new peak, as torch's own formula has it; the record and the warning say so."""
    config, folder = cut
    run = Path(shutil.copytree(folder, tmp_path / "run"))
    changed = {"trainer.learning_rate": 2e-4, "trainer.logging_steps": 2, "trainer.weight_decay": 0.25}
    trained(config, run, resume=True, **changed)
    rates = {event["step"]: event["learning_rate"] for event in records(run) if "learning_rate" in event}
    # logged after a step, before the schedule moves: that of step n is peak (1 - (n - 1) / steps)
    assert rates[CUT] == pytest.approx(1e-3 * (1 - (CUT - 1) / STEPS))
    assert {step: rate for step, rate in rates.items() if step > CUT} == {
        step: pytest.approx(2e-4 * (1 - (step - 1) / STEPS)) for step in (6, 8)
    }
    assert yaml.safe_load((run / "run.yaml").read_text())["trainer"]["learning_rate"] == 2e-4
    assert (
        f"trainer.learning_rate was 0.001 when {run / f'checkpoint-{CUT}'} was written, and is 0.0002 now"
        in caplog.text
    )
    kept = json.loads((run / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    assert kept["logging_steps"] == 2
    from tunesmith_library_training import states

    state = states.read(run / f"checkpoint-{STEPS}" / "training_state" / "optimizer.safetensors")
    assert {group["weight_decay"] for group in state["param_groups"]} <= {0.25, 0.0}
    assert any(group["weight_decay"] for group in state["param_groups"])


TOGETHER = {
    "adapter.rank=16": "adapter.rank was 4",
    "adapter.dropout=0.5": "adapter.dropout was 0.1",
    "seed=7": "seed was 42",
    "precision=bf16": "precision was fp32",
    "template=auto": "template.name was chatml",
    "stage.max_length=99": "stage.max_length was 2048",
    "trainer.train_sampling_strategy=sequential": "trainer.train_sampling_strategy was random",
    "trainer.optim=sgd": "trainer.optim was adamw_torch_fused",
    "data.shuffle_seed=1": "data.shuffle_seed was 42",
    "patch=[neftune]": "patch was null",
}
OTHER_PLUGINS = {"adapter=full": "adapter.name was lora", "optimizer=adam_mini": "optimizer was null"}
TAKE_EFFECT = {
    "trainer.learning_rate=1": "trainer.learning_rate was 0.001",
    "trainer.per_device_train_batch_size=2": "trainer.per_device_train_batch_size was 4",
    "tracker=[console]": "tracker.jsonl was {",
}


def test_what_cannot_change_is_a_problem_of_the_plan(cut: Any, tmp_path: Path) -> None:
    """All of them at once, before anything is loaded; of what takes effect, warnings."""
    import tunesmith

    config, folder = cut
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in config.items() if "." not in key}))
    dotted = [f"{key}={value}" for key, value in config.items() if "." in key]
    for changed, severity in ((TOGETHER, "error"), (OTHER_PLUGINS, "error"), (TAKE_EFFECT, "warning")):
        _, problems = tunesmith.plan(file, [*dotted, *changed, f"output_dir={folder}", "resume=true"])
        told = {problem.message: problem for problem in problems if " when " in problem.message}
        for expected in changed.values():
            assert any(message.startswith(expected) for message in told), (expected, list(told))
        assert {problem.severity for problem in told.values()} == {severity}
        assert severity == "warning" or all("output_dir=FOLDER" in problem.advice for problem in told.values())
    _, problems = tunesmith.plan(file, [*dotted, f"output_dir={folder}", "resume=true", "tracker=[jsonl, impatient]"])
    assert not [problem for problem in problems if " when " in problem.message], "nothing was changed"


@pytest.mark.parametrize("what", [pytest.param("model", marks=pytest.mark.slow), "data"])
def test_other_contents_under_the_same_name(what: str, cut: Any, tmp_path: Path) -> None:
    """One number of a weight, one letter of a row, with the size and time of before."""
    import os

    config, folder = cut
    if what == "model":
        file = Path(config["model.path"]) / "model.safetensors"
        place = file.stat().st_size - 2
    else:
        file = Path(config["data"]["train"][0]["path"])
        place = file.read_bytes().index(b"turns 17")
    run = Path(shutil.copytree(folder, tmp_path / "run"))
    times, original = file.stat(), file.read_bytes()
    changed = bytearray(original)
    changed[place] ^= 1
    try:
        file.write_bytes(changed)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(TunesmithError, match=rf"{what} is not what .*checkpoint-{CUT} was made with"):
            trained(config, run, resume=True)
    finally:
        file.write_bytes(original)
