"""Evaluations as a table and as files."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.files import replacing
from tunesmith_library_configuration.locks import at_work, beside, locked
from tunesmith_library_configuration.space import free, in_words, unwritable
from tunesmith_library_evaluating import Evaluation, Measured

_ROOM = 2**16  # bytes that the numbers and a few records take
_PATIENCE = 60.0  # seconds for which another evaluation may be writing its numbers

COLUMNS = ("evaluator", "data set", "metric", "value", "standard error", "examples")


def model_of(config: str | None, overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder of a model that is no run, such as an exported one, is the model of a configuration without a file."""
    folder = Path(config) if config else None
    if folder and (folder / "config.json").is_file() and not (folder / "run.yaml").is_file():
        return None, [f"model.path={folder.resolve()}", *overrides]
    return config, list(overrides)


def folder_of(config: str | None, overrides: Sequence[str]) -> Path | None:
    """Where to write: `output_dir`, else the run's folder, else nowhere.

    Raises: ConfigError when it cannot be a folder, be written to, or has no room: before anything is measured.
    """
    composition = compose(config, overrides)
    asked = composition.tree.get("output_dir")
    folder = Path(asked).expanduser() if asked else composition.run_folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"output_dir={folder} is no folder.\nchoose another: output_dir=FOLDER")
    reason = unwritable(folder) if folder is not None else None
    room = free(folder) if folder is not None else None
    if reason is None and room is not None and room < _ROOM:
        reason = f"its disk is full ({in_words(room)} are free)"
    if reason is not None:
        raise ConfigError(f"{folder} cannot take the numbers: {reason}.\nwrite them elsewhere: output_dir=FOLDER")
    return folder


def seen_in(folder: Path | None) -> contextlib.AbstractContextManager[None]:
    """While entered, nobody deletes a folder that is there, and nobody has it for himself."""
    there = folder is not None and folder.exists()
    return at_work(folder, "evaluations", "an evaluation") if folder and there else contextlib.nullcontext()


def rows_of(evaluations: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """The rows of a table under `COLUMNS`."""
    return [
        (_short(evaluation.name), part, name, f"{number.value:.5g}", _error(number), f"{number.count:,}")
        for evaluation in evaluations
        for part, metrics in evaluation.metrics.items()
        for name, number in metrics.items()
    ]


def _error(number: Measured) -> str:
    return "" if number.standard_error is None else f"{number.standard_error:.2g}"


def write(evaluations: Sequence[Evaluation], folder: Path) -> Path:
    """Write the records, then the numbers beside those of other evaluators; no file is ever half written.

    Returns: the file of the numbers.
    """
    target = folder / "evaluations.json"
    with locked(beside(target), target, "an evaluation", patience=_PATIENCE):
        _write(evaluations, folder, target)
    return target


def _write(evaluations: Sequence[Evaluation], folder: Path, target: Path) -> None:
    numbers = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    for evaluation in evaluations:
        name = _short(evaluation.name)
        records = folder / "evaluations" / f"{name}.jsonl"
        with replacing(records) as draft, draft.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in evaluation.records)
        numbers[name] = {"metrics": _metrics(evaluation), "settings": dict(evaluation.settings)}
    with replacing(target) as draft:
        draft.write_text(json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _metrics(evaluation: Evaluation) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        part: {name: _as_json(number) for name, number in metrics.items()}
        for part, metrics in evaluation.metrics.items()
    }


def _as_json(number: Measured) -> dict[str, Any]:
    """A number as JSON has it, which knows no infinity."""
    finite = {name: value if value is None or math.isfinite(value) else None for name, value in vars(number).items()}
    return {**finite, "greater_is_better": number.greater_is_better}


def _short(name: str) -> str:
    """An evaluator's name as a file's; of a private one (`/folder/mine.py:score`) the file and what it is there."""
    return re.sub(r"[^\w.-]+", "_", name.rpartition("/")[2])
