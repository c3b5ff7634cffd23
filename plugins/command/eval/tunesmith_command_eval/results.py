"""Where the evaluations of a command go, and its table of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tunesmith.compose import compose
from tunesmith.errors import ConfigError
from tunesmith_library_configuration.locks import at_work
from tunesmith_library_configuration.space import free, in_words, unwritable
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.writing import short_name, write

_ROOM = 2**16  # bytes that the numbers and a few records take

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
        (short_name(evaluation.name), part, name, f"{number.value:.5g}", _error(number), f"{number.count:,}")
        for evaluation in evaluations
        for part, metrics in evaluation.metrics.items()
        for name, number in metrics.items()
    ]


def _error(number: Measured) -> str:
    return "" if number.standard_error is None else f"{number.standard_error:.2g}"


def written(
    evaluations: Sequence[Evaluation], folder: Path | None, before: Sequence[Evaluation | None] = ()
) -> list[str]:
    """Write evaluations into a folder, if there is one; what is told of it, a line for each.

    Args:
        before: of the models before their training.
    """
    if folder is None:
        return ["nothing is written; output_dir=FOLDER keeps the numbers"]
    pairs = zip(evaluations, before or [None] * len(evaluations), strict=True)
    return [f"done: {write(evaluation, folder, before=former)}" for evaluation, former in pairs]
