"""Which checkpoints are whole, which one a run goes on from, and which are kept."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tunesmith import TunesmithError
from tunesmith_library_configuration.records import steps_of
from tunesmith_library_training import checkpoints

FACTS = {"num_examples": 7, "seed": 1}


def made(output_dir: Path, *steps: int, whole: bool = True) -> None:
    for step in steps:
        folder = output_dir / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").touch()
        if whole:
            checkpoints.mark_complete(folder, FACTS)


def left(output_dir: Path) -> list[str]:
    return sorted(folder.name for folder in output_dir.iterdir())


def test_the_newest_whole_one_is_resumed(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path, FACTS) is None
    made(tmp_path, 9, 10)
    made(tmp_path, 11, whole=False)
    (tmp_path / "checkpoint-best").mkdir()
    assert [folder.name for folder in checkpoints.complete(tmp_path)] == ["checkpoint-9", "checkpoint-10"]
    assert checkpoints.newest(tmp_path, FACTS) == tmp_path / "checkpoint-10"


def test_other_data_is_refused_and_another_order_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path, 3)
    with pytest.raises(TunesmithError, match="was trained on 7 examples, the training data now has 8"):
        checkpoints.newest(tmp_path, {**FACTS, "num_examples": 8})
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        assert checkpoints.newest(tmp_path, {**FACTS, "seed": 2, "new": 1}) is not None
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "resume: seed was 1 and is 2 now; the data will come in another order"
    ]


def test_what_a_killed_run_left_is_deleted(tmp_path: Path) -> None:
    made(tmp_path, 1)
    made(tmp_path, 2, whole=False)
    (tmp_path / "checkpoint-best").mkdir()
    checkpoints.discard_incomplete(tmp_path)
    assert left(tmp_path) == ["checkpoint-1", "checkpoint-best"]


@pytest.mark.parametrize(
    "limit, best, expected", [(None, None, [1, 2, 10]), (1, None, [10]), (1, 1, [1, 10]), (5, None, [1, 2, 10])]
)
def test_rotation(limit: int | None, best: int | None, expected: list[int], tmp_path: Path) -> None:
    made(tmp_path, 1, 2, 10)
    made(tmp_path, 11, whole=False)
    checkpoints.rotate(tmp_path, limit, None if best is None else str(tmp_path / f"checkpoint-{best}"))
    assert left(tmp_path) == sorted(f"checkpoint-{step}" for step in (*expected, 11))


def test_a_checkpoint_has_the_steps_of_its_state_whatever_its_name(tmp_path: Path) -> None:
    for name, step in ((4, 4), (6, 6), (9, 5), (7, 6)):
        folder = tmp_path / f"checkpoint-{name}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
        checkpoints.mark_complete(folder, FACTS)
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("[")
    names = ["checkpoint-4", "checkpoint-9", "checkpoint-7", "checkpoint-6"]
    assert [folder.name for folder in checkpoints.complete(tmp_path)] == names
    assert checkpoints.newest(tmp_path, FACTS) == tmp_path / "checkpoint-6"
    assert [steps_of(tmp_path / f"checkpoint-{name}") for name in (2, 9)] == [2, 5]
