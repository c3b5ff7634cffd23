"""Results of evaluations as they lie in folders: the numbers, and a record of each example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.runs.facts import read_json
from tunesmith_library_studio.runs.logged import finite

RESULTS, SAMPLES, BEFORE, PREDICTIONS = "results.json", "samples.jsonl", "samples-before.jsonl", "predictions.jsonl"
_LARGEST_LINE = 1_000_000  # characters of a record that are read
_SEARCHED = ("prompt", "context", "text", "answer", "prediction", "predictions", "thought", "dataset")
_NO_METRIC = ("index", "weight")  # numbers of a record that measure nothing


@dataclass(frozen=True)
class Filter:
    """Which records are shown, in which order."""

    search: str = ""  # words that all must be in prompt, answer or prediction
    metric: str | None = None  # a number of the records
    outcome: str | None = None  # `right` (1) or `wrong` (less), by that number
    sort: str | None = None  # `ascending` or `descending`, by that number
    offset: int = 0
    limit: int = 20


def found_in(folder: Path) -> Iterator[tuple[str, int | None, Path]]:
    """Evaluator, step of a training (None: of the result) and folder of each result below a folder's `eval`."""
    for place in folders(folder / "eval"):
        if (place / RESULTS).is_file():
            yield place.name, None, place
        for inner in folders(place):
            step = inner.name.removeprefix("step-")
            if step.isdecimal() and inner.name != step and (inner / RESULTS).is_file():
                yield place.name, int(step), inner


def newest(folder: Path) -> Iterator[tuple[str, int | None, Path]]:
    """The one of each evaluator that counts: of the result, else of the last step."""
    found: dict[str, tuple[float, int | None, Path]] = {}
    for evaluator, step, place in found_in(folder):
        rank = float("inf") if step is None else step
        if evaluator not in found or rank > found[evaluator][0]:
            found[evaluator] = rank, step, place
    yield from ((evaluator, step, place) for evaluator, (_, step, place) in found.items())


def numbers_of(folder: Path) -> dict[str, Any]:
    """Evaluator → data set → metric → value with its standard error, of the newest results."""
    told = {evaluator: read_json(place / RESULTS).get("metrics") for evaluator, _, place in newest(folder)}
    return {evaluator: metrics for evaluator, metrics in told.items() if isinstance(metrics, Mapping)}


def result(place: Path) -> dict[str, Any]:
    """What one result says, without its records."""
    told = read_json(place / RESULTS)
    kept = ("evaluator", "metrics", "settings", "model", "step", "tables", "before")
    return {**{name: told.get(name) for name in kept}, "modified": (place / RESULTS).stat().st_mtime}


def records(file: Path, asked: Filter) -> dict[str, Any]:
    """A page of a file of records.

    Returns: `items`; `total` of those that match; `metrics`, the numbers that records have; `judged`, those that are
        0 or 1 in all of them.
    Raises: TunesmithError where there is no such file.
    """
    if not file.is_file():
        raise TunesmithError(f"{file.name}: there is no record of the examples.")
    words, shown, total = asked.search.lower().split(), [], 0
    metrics: dict[str, bool] = {}  # whether each is 0 or 1 so far
    ranked: list[tuple[float | None, int, int]] = []
    for number, (start, record) in enumerate(_lines(file)):
        for name, value in record.items():
            if _is_number(value) and name not in _NO_METRIC:
                metrics[name] = metrics.get(name, True) and value in (0, 1)
        if not _matches(record, words, asked):
            continue
        total += 1
        if asked.sort and asked.metric:
            ranked.append((_value(record, asked.metric), number, start))
        elif asked.offset < total <= asked.offset + asked.limit:
            shown.append(record)
    if ranked:
        ranked.sort(key=lambda each: (each[0] is None, each[0] if asked.sort == "ascending" else -(each[0] or 0)))
        chosen = ranked[asked.offset : asked.offset + asked.limit]
        shown = [_at(file, start) for _, _, start in chosen]
    return {
        "items": shown,
        "total": total,
        "metrics": list(metrics),
        "judged": [name for name in metrics if metrics[name]],
    }


def _matches(record: Mapping[str, Any], words: list[str], asked: Filter) -> bool:
    value = _value(record, asked.metric)
    if asked.outcome and value is None:
        return False
    if asked.outcome == "right" and value is not None and value < 1:
        return False
    if asked.outcome == "wrong" and value is not None and value >= 1:
        return False
    said = [record.get(name) for name in _SEARCHED] if words else []
    text = json.dumps(said, ensure_ascii=False).lower()
    return all(word in text for word in words)


def _value(record: Mapping[str, Any], metric: str | None) -> float | None:
    value = record.get(metric) if metric else None
    return float(value) if isinstance(value, int | float) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records with the bytes before them; what is no record is passed over."""
    start = 0
    with file.open("rb") as lines:
        for line in lines:
            if len(line) <= _LARGEST_LINE and (record := _parsed(line)):
                yield start, record
            start += len(line)


def _at(file: Path, start: int) -> dict[str, Any]:
    with file.open("rb") as lines:
        lines.seek(start)
        return _parsed(lines.readline()) or {}


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return finite(found) if isinstance(found, dict) else None


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names; none where it is not there."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
