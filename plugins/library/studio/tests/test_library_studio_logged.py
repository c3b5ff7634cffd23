"""The last lines and the best evaluation of a metrics file, read on as it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_studio.runs import logged as module
from tunesmith_library_studio.runs.logged import Logged, logged


def lines(count: int, start: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for step in range(start, start + count):
        found.append({"event": "step", "step": step, "loss": 1 / step, "time": 100.0 + step})
        if step % 7 == 0:
            found.append({"event": "evaluation", "step": step, "eval_loss": abs(step - 50) / 10, "eval_accuracy": 0.5})
    return found


def written(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize("piece", [700, 1 << 22])
def test_reading_on_finds_what_reading_all_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """In pieces that end inside lines, of a file that grows inside lines."""
    monkeypatch.setattr(module, "_PIECE", piece)
    monkeypatch.setattr(module, "_TAIL", 200)
    file, content = tmp_path / "metrics.jsonl", written(lines(300))
    found = Logged()
    for end in (0, 1, 500, 20_000, len(content) - 3, len(content)):
        file.write_bytes(content[:end])
        found = logged(file, found, None, None)
    assert found == logged(file, Logged(), None, None)
    assert (found.first, found.last["step"], found.evaluation["step"]) == (101.0, 300, 294)
    assert (found.metric, found.greater, found.best, found.best_step) == ("eval_loss", False, 0.1, 49)


def test_a_file_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(written(lines(100)))
    before = logged(file, Logged(), None, None)
    file.write_bytes(written(lines(20, start=1000)))
    found = logged(file, before, None, None)
    assert (found.first, found.last["step"], found.best_step) == (1100.0, 1019, 1001)


@pytest.mark.parametrize(
    ("metric", "greater", "expected"),
    [
        ("accuracy", None, ("eval_accuracy", True, 0.5)),
        ("loss", True, ("eval_loss", True, 24.4)),
        ("nothing", None, (None, False, None)),
    ],
)
def test_the_metric_that_was_chosen(
    tmp_path: Path, metric: str, greater: bool | None, expected: tuple[Any, ...]
) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(written(lines(300)))
    found = logged(file, Logged(), metric, greater)
    assert (found.metric, found.greater, found.best) == expected
