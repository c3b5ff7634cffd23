"""`resume=true` on a folder of another program: what it holds, what can be gone on with, and by which command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunesmith_library_configuration.folders import RECORD, place_problems
from tunesmith_library_configuration.leftovers import not_resumable


def checkpoint(folder: Path, step: int, *names: str) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for name in names:
        (made / name).write_text("{}")
    return made


@pytest.mark.parametrize(
    ("file", "what", "key"),
    [("adapter_config.json", "an adapter", "adapter.path"), ("config.json", "a whole model", "model.path")],
)
def test_a_folder_with_checkpoints(file: str, what: str, key: str, tmp_path: Path) -> None:
    checkpoint(tmp_path, 9, file)
    newest = checkpoint(tmp_path, 10, file, "optimizer.pt", "scheduler.pt")
    (tmp_path / file).write_text("{}")
    found = not_resumable(tmp_path)
    assert found is not None and what in found.message and f"{newest} has 10 steps behind it" in found.message
    assert f"trainer.resume_from={newest} output_dir=NEW" in found.advice
    assert f"tunesmith train CONFIG.yaml {key}={newest} output_dir=NEW" in found.advice
    (newest / "optimizer.pt").unlink()
    (tmp_path / "training_args.yaml").touch()
    found = not_resumable(tmp_path)
    assert found is not None and "resume_from" not in found.advice and "were not kept" in found.advice
    assert f"tunesmith train {tmp_path}/training_args.yaml {key}={newest}" in found.advice


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    assert not_resumable(tmp_path) is None and not_resumable(tmp_path / "none") is None
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "checkpoint-x").mkdir()
    found = not_resumable(tmp_path)
    assert found is not None and "without a checkpoint" in found.message
    assert found.advice == f"with its weights alone: tunesmith train CONFIG.yaml adapter.path={tmp_path} output_dir=NEW"


def test_it_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (found,) = place_problems(tmp_path, {}, resume=True, overwrite=False)
    assert found.key == "resume"
    assert place_problems(tmp_path, {}, resume=False, overwrite=False) == []
    (tmp_path / "run.yaml").touch()
    assert place_problems(tmp_path, {}, resume=True, overwrite=False) == []


def test_what_a_run_starts_from_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its folder nor anything in it, however it is written; what the run itself writes there does not count."""
    run = tmp_path / "runs" / "a"
    (run / "checkpoint-1").mkdir(parents=True)
    (run / RECORD).write_text("")
    (run / "log.csv").write_text("")
    (tmp_path / "other").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    config = {
        "model": {"path": "runs/a/checkpoint-1"},
        "data": {"datasets": {"train": [{"path": "other"}, {"path": "org/name"}]}},
        "tracker": {"csv": {"file": str(run / "log.csv")}},
        "output_dir": "runs/a",
    }
    found = place_problems(Path("runs/a"), config, resume=False, overwrite=True)
    assert [problem.message.partition(" lies in")[0] for problem in found] == [
        "model.path=runs/a/checkpoint-1",
        "data.datasets.train[0].path=other",
    ]
    assert place_problems(Path("runs/a"), config, resume=True, overwrite=False) == []
    assert place_problems(Path("runs/b"), config, resume=False, overwrite=True) == []
