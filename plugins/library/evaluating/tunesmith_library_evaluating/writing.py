"""Evaluations as files: `eval/NAME/results.json` with the numbers, and `samples.jsonl` with a record of each example.

Those of a training are in `eval/NAME/step-N`. No file is ever half written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.files import replacing
from tunesmith_library_configuration.locks import beside, locked

from tunesmith_library_evaluating.evaluation import Evaluation, Measured

RESULTS, SAMPLES = "results.json", "samples.jsonl"
_BEFORE = "samples-before.jsonl"  # records of the model before its training
_PATIENCE = 60.0  # seconds for which another evaluation may be writing its numbers


def write(evaluation: Evaluation, folder: Path, *, step: int | None = None, before: Evaluation | None = None) -> Path:
    """Write the records, then the numbers, in the place of those that a former call wrote there.

    Args:
        folder: the run's, or another.
        step: of a training; None: its result, or a model that is not trained here.
        before: the same of the model before its training.

    Returns: the file of the numbers.
    """
    place = folder / "eval" / short_name(evaluation.name)
    target = (place if step is None else place / f"step-{step}") / RESULTS
    with locked(beside(target), target, "an evaluation", patience=_PATIENCE):
        _write_records(evaluation.records, target.with_name(SAMPLES))
        told: dict[str, Any] = {"evaluator": evaluation.name, "metrics": _metrics(evaluation)}
        told |= {"settings": dict(evaluation.settings), "model": dict(evaluation.model), "step": step}
        if evaluation.tables:
            told["tables"] = dict(evaluation.tables)
        if before is not None:
            _write_records(before.records, target.with_name(_BEFORE))
            told["before"] = {"metrics": _metrics(before), "model": dict(before.model)}
        text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"
        with replacing(target) as draft:
            draft.write_text(text, encoding="utf-8")
    return target


def found_in(folder: Path) -> dict[str, Path]:
    """The folders of results, by the evaluators' short names; of a training without a later evaluation its last step's.

    Args:
        folder: a run's, one with `eval` in it, or that of one result.
    """
    if (folder / RESULTS).is_file():
        return {_evaluator_of(folder): folder}
    found = {}
    for place in sorted((folder / "eval").glob("*")):
        steps = sorted(place.glob(f"step-*/{RESULTS}"), key=lambda path: int(path.parent.name.removeprefix("step-")))
        at = place / RESULTS
        if at.is_file() or steps:
            found[place.name] = place if at.is_file() else steps[-1].parent
    return found


def read(folder: Path) -> Evaluation:
    """What was written into the folder of one result.

    Raises: DataError for files that `write` did not write.
    """
    try:
        told = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        with (folder / SAMPLES).open(encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        metrics = {
            part: {name: _measured(number) for name, number in numbers.items()}
            for part, numbers in told["metrics"].items()
        }
        return Evaluation(metrics, records, told["settings"], told["evaluator"], told["model"], told.get("tables", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder} holds no evaluation that can be read: {error!r}.\n"
            "measure again: tunesmith eval RUN evaluator=[NAME]"
        ) from error


def short_name(name: str) -> str:
    """An evaluator's name as a file's; of a private one (`/folder/mine.py:score`) the file and what it is there."""
    return re.sub(r"[^\w.-]+", "_", name.rpartition("/")[2])


def _evaluator_of(folder: Path) -> str:
    """The evaluator's short name, of which a folder or the one above it, with steps in it, is called."""
    told = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    return short_name(str(told.get("evaluator", folder.name)))


def _write_records(records: Sequence[Mapping[str, Any]], target: Path) -> None:
    with replacing(target) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False, default=str) + "\n" for record in records)


def _metrics(evaluation: Evaluation) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        part: {name: number_as_json(number) for name, number in metrics.items()}
        for part, metrics in evaluation.metrics.items()
    }


def number_as_json(number: Measured) -> dict[str, Any]:
    """A number as JSON has it, which knows no infinity."""
    finite = {name: value if value is None or math.isfinite(value) else None for name, value in vars(number).items()}
    return {**finite, "greater_is_better": number.greater_is_better}


def _measured(told: Mapping[str, Any]) -> Measured:
    """A number as it was, with an infinite value where there is none: perplexities alone overflow."""
    value = math.inf if told["value"] is None else float(told["value"])
    return Measured(value, told["standard_error"], told["count"], told["greater_is_better"])
