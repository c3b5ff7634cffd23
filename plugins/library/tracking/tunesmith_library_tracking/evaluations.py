"""Evaluations of a training, `eval/NAME/step-N`, as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_tracking.sink import Table


def tables(folder: Path, step: int, most: int) -> Iterator[Table]:
    """What the run's evaluators measured at a step; none where it has no evaluators.

    Args:
        folder: the run's.
        most: examples in a table; those after them are counted.
    """
    for file in sorted(folder.glob(f"eval/*/step-{step}/results.json")):
        told = json.loads(file.read_text(encoding="utf-8"))
        numbers = [
            {
                "dataset": dataset,
                "metric": name,
                **{key: number.get(key) for key in ("value", "standard_error", "count")},
            }
            for dataset, metrics in told["metrics"].items()
            for name, number in metrics.items()
        ]
        examples, left_out = _examples(file.with_name("samples.jsonl"), most)
        yield Table(file.parent.parent.name, step, numbers, examples, left_out)


def _examples(file: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    left_out = 0
    if not file.is_file():
        return found, left_out
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if len(found) < most:
                found.append(_flat(json.loads(line)))
            else:
                left_out += 1
    return found, left_out


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of which each value fits a cell."""
    plain = (str, int, float, bool, type(None))
    return {
        str(key): value if isinstance(value, plain) else json.dumps(value, ensure_ascii=False)
        for key, value in record.items()
    }


def columns(rows: list[Mapping[str, Any]] | Any) -> list[str]:
    """The names of all columns of rows, in the order in which they first occur."""
    return list(dict.fromkeys(name for row in rows for name in row))


def markdown(rows: Any) -> str:
    """Rows as a table of Markdown."""
    names = columns(rows)
    lines = [_line(names), _line(["---"] * len(names))]
    return "\n".join((*lines, *(_line([row.get(name) for name in names]) for row in rows)))


def _line(cells: list[Any]) -> str:
    texts = (_cell(cell) for cell in cells)
    return f"| {' | '.join(texts)} |"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", "<br>")
