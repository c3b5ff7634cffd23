"""A bad row in a stream ends a run with its steps kept, and it goes on as if the row had been right from the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import IterableDataset
from tunesmith import DataError
from tunesmith.types import DatasetSplits, RunEnded, TrainingJob
from tunesmith_library_configuration.manifests import told
from tunesmith_library_testing.parts import collate, compute_loss, load_plain
from tunesmith_library_training import checkpoints
from tunesmith_library_training.bad_data import BadData
from tunesmith_trainer_transformers import Transformers

ROWS = [{"input_ids": [5, 6, 7 + row, 8], "labels": [5, 6, 7 + row, 8]} for row in range(12)]
OPTIONS = {
    "max_steps": 6,
    "per_device_train_batch_size": 2,
    "padding_free": False,
    "logging_steps": 50,
    "save_steps": 100,
    "learning_rate": 1e-3,
    "use_cpu": True,
}


class Stream(IterableDataset[Any]):
    """The rows, of which one may be bad."""

    def __init__(self, bad: int | None) -> None:
        self.bad = bad

    def __iter__(self) -> Iterator[Any]:
        for place, row in enumerate(ROWS):
            if place == self.bad:
                raise DataError(f"late.jsonl, line {place + 1}: no text")
            yield row


def train(model: Path, folder: Path, bad: int | None, resume: bool = False, workers: int = 0) -> bytes:
    """Train on the stream, and give the weights."""
    import torch
    from transformers import AutoTokenizer

    heard: list[Any] = []
    torch.manual_seed(0)
    job = TrainingJob(
        model=load_plain(model),
        processor=AutoTokenizer.from_pretrained(model),
        data=DatasetSplits(train=Stream(bad)),
        output_dir=folder,
        seed=7,
        precision="fp32",
        resume=resume,
        collate=collate,
        compute_loss=compute_loss,
        build_optimizer=lambda model, settings: None,
        emit=heard.append,
        made_of={"model": "m", "data": str(bad)},
    )
    try:
        Transformers(**OPTIONS, dataloader_num_workers=workers).fit(job)
    finally:
        assert isinstance(heard[-1], RunEnded) and heard[-1].status == ("finished" if bad is None else "failed")
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_steps_before_a_bad_row_are_kept(workers: int, tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData) as stop:
        train(tiny_llama, tmp_path / "run", 8, workers=workers)
    (kept,) = checkpoints.complete(tmp_path / "run")
    assert stop.value.code == 76 and kept.name in ("checkpoint-3", "checkpoint-4")
    assert str(stop.value) == (
        f"late.jsonl, line 9: no text\nwhat was trained is kept in {kept}.\n"
        f"mend the row, or take it out; then: tunesmith train {tmp_path / 'run'} resume=true"
    )
    assert told(kept, checkpoints.MARKER)["made_of"] == {"model": "m"}, "mended data have another fingerprint"
    went_on = train(tiny_llama, tmp_path / "run", None, resume=True, workers=workers)
    assert went_on == train(tiny_llama, tmp_path / "whole", None, workers=workers)


def test_a_bad_first_row_is_a_mistake_in_the_data(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^late.jsonl, line 1: no text$"):
        train(tiny_llama, tmp_path, 0)
