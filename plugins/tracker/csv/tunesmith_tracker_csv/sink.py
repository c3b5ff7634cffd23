"""CSV files. A table gets a column when a metric first occurs; a row stands in it once, in the order of steps."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.files import replacing
from tunesmith_library_tracking.evaluations import columns
from tunesmith_library_tracking.naming import flat
from tunesmith_library_tracking.sink import Start, Status, Table

_METRICS, _SYSTEM, _EVALUATIONS, _EXAMPLES, _RUN = (
    *("metrics.csv", "system.csv", "evaluations.csv", "examples.csv", "run.csv"),
)


class CsvSink:
    """`metrics.csv`, `system.csv`, `evaluations.csv`, `examples.csv`, `config.csv` and `run.csv` in a folder."""

    def __init__(self, folder: str) -> None:
        self._name = folder
        self._folder = Path()
        self._columns: dict[str, list[str]] = {}  # of the files that have rows

    def begin(self, start: Start) -> None:
        self._folder = start.output_dir / self._name
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in (_METRICS, _SYSTEM, _EVALUATIONS, _EXAMPLES, _RUN):
            rows = _read(self._folder / name) if start.resumed_from else []
            kept = [row for row in rows if _step(row) in range(start.resumed_from + 1)]
            (self._folder / name).unlink(missing_ok=True)
            if kept:
                self._write(name, columns(kept), kept)
        options = [{"option": name, "value": value} for name, value in flat(start.config).items()]
        self._write("config.csv", ["option", "value"], options)

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        system = all(name.startswith("system/") for name in numbers)
        self._add(_SYSTEM if system else _METRICS, [{"step": step, "time": f"{time:.3f}", **numbers}])

    def table(self, table: Table) -> None:
        place = {"step": table.step, "evaluator": table.name}
        self._add(_EVALUATIONS, [{**place, **number} for number in table.numbers])
        self._add(_EXAMPLES, [{**place, **example} for example in table.examples])

    def result(self, folder: Path) -> None:
        self._add(_RUN, [{"what": "result", "value": folder.resolve()}])

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        self._add(_RUN, [{"what": name, "value": value} for name, value in {"status": status, **numbers}.items()])

    def _add(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; the file is written anew, with one more column, when there is a new one."""
        there = self._columns.get(name, [])
        new = [column for column in columns(rows) if column not in there]
        if new:
            former = _read(self._folder / name) if there else []
            self._write(name, [*there, *new], [*former, *rows])
        else:
            with (self._folder / name).open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, there).writerows(rows)

    def _write(self, name: str, names: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
        with replacing(self._folder / name) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        self._columns[name] = names


def _read(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _step(row: Mapping[str, str]) -> int:
    """The step of a row, -1 for what a killed run left of one."""
    text = row.get("step") or ""
    return int(text) if text.isdecimal() else -1
