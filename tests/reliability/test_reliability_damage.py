"""Whatever is done to a checkpoint: the run goes on from the last whole one with the same bits, or says why not."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from short_runs import CUT, bits, cut_short, left_behind, trained
from tunesmith import TunesmithError


@pytest.fixture
def runs(short_runs: Any) -> tuple[dict[str, Any], Path, dict[str, str]]:
    """A configuration, the folder of an interrupted run, and the bits of an uninterrupted one."""
    return short_runs.config, short_runs.cut, bits(short_runs.whole)


def missing(file: Path) -> None:
    file.unlink()


def halved(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def flipped(file: Path) -> None:
    """Two bytes in its middle are others."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 0x10
    content[middle + 1] ^= 0x01
    file.write_bytes(content)


def broken(file: Path) -> None:
    file.write_text("{")


def goes_on_from_the_one_before(
    runs: tuple[dict[str, Any], Path, dict[str, str]],
    folder: Path,
    harm: Callable[[Path], None],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, cut, whole = runs
    run = Path(shutil.copytree(cut, folder / "run"))
    harm(run / f"checkpoint-{CUT}" / name)
    with caplog.at_level(logging.INFO, "tunesmith"):
        trained(config, run, resume=True)
    assert bits(run) == whole
    assert f"checkpoint-{CUT} is damaged: {name}" in caplog.text
    assert f"resume: {run / 'checkpoint-4'} (the newest that is whole)" in caplog.text
    assert (run / f"damaged-checkpoint-{CUT}").is_dir() and left_behind(run) == []


NAMES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "complete.json",
    "configuration.yaml",
    "trainer_state.json",
    "training_state/optimizer.safetensors",
    "training_state/random.safetensors",
    "training_state/scheduler.safetensors",
)


def test_a_damaged_file(runs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    goes_on_from_the_one_before(runs, tmp_path, missing, "training_state/optimizer.safetensors", caplog)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [missing, halved, emptied, flipped, broken])
def test_every_file(harm: Any, runs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = {
        str(file.relative_to(runs[1] / f"checkpoint-{CUT}")) for file in (runs[1] / f"checkpoint-{CUT}").rglob("*")
    }
    assert set(NAMES) <= listed, "no file was forgotten"
    for name in NAMES:
        caplog.clear()
        goes_on_from_the_one_before(runs, tmp_path / name.replace("/", "-"), harm, name, caplog)


def test_a_file_that_was_added(runs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """transformers would take a model's weights for the adapter's, and a pickle for the optimizer."""
    _, cut, _ = runs
    from tunesmith_library_training import checkpoints

    for name in ("model.safetensors", "optimizer.pt", "notes.txt"):
        run = Path(shutil.copytree(cut, tmp_path / name))
        (run / f"checkpoint-{CUT}" / name).write_bytes(b"x")
        found = checkpoints.newest(run, {})
        assert found == run / ("checkpoint-4" if name != "notes.txt" else f"checkpoint-{CUT}")


def test_none_is_whole(runs: Any, tmp_path: Path) -> None:
    """Every damage is named, nothing is deleted, and nothing begins anew by itself."""
    config, cut, _ = runs
    run = Path(shutil.copytree(cut, tmp_path / "run"))
    for step in (2, 4, CUT):
        flipped(run / f"checkpoint-{step}" / "training_state" / "random.safetensors")
    with pytest.raises(TunesmithError, match=r"no checkpoint in .* is whole") as error:
        trained(config, run, resume=True)
    assert str(error.value).count("training_state/random.safetensors holds other bytes") == 3
    assert "overwrite=true" in str(error.value)
    assert sorted(path.name for path in run.glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
        f"checkpoint-{CUT}",
    ]


def test_no_pickle_is_written(runs: Any) -> None:
    """Every file of the run is JSON, YAML, a list, a template, a picture, or safetensors by its first bytes."""
    for file in (path for path in runs[1].rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert file.suffix in (".json", ".yaml", ".jsonl", ".jinja", ".lock", ".md", ".safetensors"), file
        if file.suffix == ".safetensors":
            assert content[8:9] == b"{"
        else:
            assert not content.startswith((b"\x80", b"PK")), file


@pytest.mark.slow
def test_an_earlier_versions_checkpoint_is_resumed(
    runs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by transformers itself, with pickle and without digests: it is read, and that is said."""
    from transformers import Trainer, TrainingArguments
    from tunesmith_library_training import checkpoints, own_checkpoints, reporting
    from tunesmith_library_training.one_device import OneDevice

    config, _, whole = runs
    with monkeypatch.context() as earlier:
        earlier.setattr(OneDevice, "writes_own_checkpoints", property(lambda self: False))
        earlier.setattr(own_checkpoints.OwnCheckpoints, "save_model", Trainer.save_model)
        earlier.setattr(TrainingArguments, "save_only_model", property(lambda self: False, lambda self, given: None))
        run = cut_short(config, tmp_path / "run")
    folder = run / f"checkpoint-{CUT}"
    assert (folder / "optimizer.pt").is_file() and (folder / "rng_state.pth").is_file()
    for step in (2, 4, CUT):
        facts = '{"num_examples": 22, "seed": 42, "world_size": 1}'
        (run / f"checkpoint-{step}" / checkpoints.MARKER).write_text(facts)
        (run / f"checkpoint-{step}" / checkpoints.CONFIGURATION).unlink()
    with caplog.at_level(logging.INFO, "tunesmith"):
        trained(config, run, resume=True)
    assert bits(run) == whole and reporting is not None
    assert "of an earlier version: whether its files are as they were cannot be seen" in caplog.text
