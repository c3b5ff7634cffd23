"""A run as a program is told it, whatever the program does: fail, hang, be slow."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from tunesmith import plugin
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_tracking import Sink, Start, Table, Tracked
from tunesmith_library_tracking.artefacts import files
from tunesmith_library_tracking.evaluations import markdown, tables
from tunesmith_library_tracking.naming import allowed, flat, grouped
from tunesmith_library_tracking.system import System


class Heard(Sink):
    """A program that writes down what it is told, and fails where it is to."""

    def __init__(self, fails: tuple[str, ...] = (), waits: threading.Event | None = None) -> None:
        self.calls: list[Any] = []
        self.fails, self.waits = fails, waits

    def _hear(self, what: str, *told: Any) -> None:
        if self.waits is not None:
            self.waits.wait(10)
        self.calls.append((what, *told))
        if what in self.fails:
            raise OSError(f"no room for {what} at https://me:word@example.org")

    def begin(self, start: Start) -> str | None:
        self.start = start
        self._hear("begin")
        return start.known_as or "run-1"

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        self._hear("log", step, dict(numbers))

    def table(self, table: Table) -> None:
        self._hear("table", table.name, table.step)

    def result(self, folder: Path) -> None:
        self._hear("result", folder)

    def end(self, status: str, numbers: Mapping[str, float]) -> None:
        self._hear("end", status, dict(numbers))


@plugin
class Tracker(Tracked):
    """Keeps runs with a test."""

    program: ClassVar[str] = "heard"
    package: ClassVar[str] = "json"

    _sink: Any = None

    def sink(self) -> Sink:
        return self._sink


def told(folder: Path, sink: Heard, *, resumed_from: int = 0, **options: Any) -> Heard:
    """What a program is told of a run of four steps."""
    tracker = Tracker(**{"system_seconds": 0.0, "wait_seconds": 5.0, **options})
    tracker._sink = sink
    tracker.on_event(RunStarted(folder, 4, {"trainer": {"max_steps": 4}}, resumed_from))
    for step in range(resumed_from + 1, 5):
        tracker.on_event(StepEnded(step, 4, step / 4, {"loss": 4.0 / step} if step % 2 == 0 else {}))
        if step == 4:
            tracker.on_event(Evaluated(4, {"eval_loss": 2.0}))
            tracker.on_event(Saved(4, folder / "checkpoint-4"))
    tracker.on_event(Saved(4, folder))
    tracker.on_event(RunEnded("finished", {"train_loss": 1.0}))
    return sink


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_run_is_told_in_order(tmp_path: Path) -> None:
    """Logged steps, the evaluation and its tables, the result alone of what is saved, the end."""
    folder = tmp_path / "eval" / "perplexity" / "step-4"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"metrics": {"held": {"nll": {"value": 1.5, "count": 2}}}}')
    sink = told(tmp_path, Heard(), run_name=None)
    assert sink.calls == [
        ("begin",),
        ("log", 2, {"train/epoch": 0.5, "train/loss": 2.0}),
        ("log", 4, {"train/epoch": 1.0, "train/loss": 1.0}),
        ("log", 4, {"eval/loss": 2.0}),
        ("table", "perplexity", 4),
        ("result", tmp_path),
        ("end", "finished", {"train/train_loss": 1.0}),
    ]
    assert sink.start.name == tmp_path.name and sink.start.config == {"trainer": {"max_steps": 4}}


def test_a_resumed_run_is_known_by_its_name(tmp_path: Path) -> None:
    assert told(tmp_path, Heard()).start.known_as is None
    assert told(tmp_path, Heard(), resumed_from=2).start.known_as == "run-1"
    assert told(tmp_path, Heard()).start.known_as is None, "a run from the start is a new one"


def test_a_program_that_does_not_begin_is_left_out_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = told(tmp_path, Heard(fails=("begin",)))
    assert sink.calls == [("begin",)]
    (warning,) = warnings(caplog)
    assert "tracker.heard failed at begin, the run goes on" in warning and "word" not in warning, "a password is told"


def test_what_fails_is_warned_of_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = told(tmp_path, Heard(fails=("log",)))
    assert [call[0] for call in sink.calls] == ["begin", "log", "log", "log", "result", "end"]
    first, last = warnings(caplog)
    assert "failed at StepEnded" in first and last == "tracker.heard failed 3 times in all"


def test_a_program_that_hangs_holds_neither_a_step_nor_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    started = time.monotonic()
    told(tmp_path, Heard(waits=release), wait_seconds=0.2)
    assert time.monotonic() - started < 2.0
    release.set()
    (warning,) = warnings(caplog)
    assert "has not answered for 0.2 s" in warning and "5 records are lost" in warning


def test_the_machine_is_sampled_at_the_step_of_the_run(tmp_path: Path) -> None:
    sink = told(tmp_path, Heard(), system_seconds=3600.0)  # one sample at the end
    (step, numbers) = next(call[1:] for call in sink.calls if call[0] == "log" and "system/ram_gib" in call[2])
    assert step == 4 and all(name.startswith("system/") for name in numbers)


def test_what_is_not_installed_is_a_problem() -> None:
    class Missing(Tracker):
        package: ClassVar[str] = "no_such_package"
        install: ClassVar[str] = "pip install it"

    (problem,) = Missing().check(plan=None)  # type: ignore[arg-type]
    assert problem.key == "tracker.heard" and problem.advice == "pip install it"
    assert Tracker().check(plan=None) == []  # type: ignore[arg-type]


def test_names_of_metrics_and_options() -> None:
    assert grouped({"loss": 1, "eval_held_loss": 2.0, "test_f1": 3.0, "evaluated": 4}) == {
        "train/loss": 1.0,
        "eval/held_loss": 2.0,
        "test/f1": 3.0,
        "train/evaluated": 4.0,
    }
    config = {"a": {"b": {"c": 1e-4}, "none": None, "empty": {}}, "list": [{"path": "ü"}], "on": True}
    assert flat(config) == {
        "a.b.c": 1e-4,
        "a.none": None,
        "a.empty": "{}",
        "list": '[{"path": "ü"}]',
        "on": True,
    }


def test_names_that_a_program_does_not_take() -> None:
    """Each value stays, and those of names that are taken keep them."""
    values = {"a*b": 1, "a_b": 2, "a+b": 3, "x" * 30: 4, "x" * 31: 5, "y*": 6, "z" * 20: 7}
    found = allowed(values, re.compile(r"[^\w/]"), 20)
    assert list(found.values()) == [1, 2, 3, 4, 5, 6, 7] and found["a_b"] == 2 and found["y_"] == 6
    assert all(re.fullmatch(r"[\w/]{1,20}", name) for name in found) and "z" * 20 in found
    assert allowed(values, re.compile(r"[^\w/]"), 20) == found


def test_tables_of_an_evaluation(tmp_path: Path) -> None:
    """The first examples are there, flat; those after them are counted; other steps are not looked at."""
    for step in (2, 20):
        folder = tmp_path / "eval" / "judge" / f"step-{step}"
        folder.mkdir(parents=True)
        number = {"value": 0.5, "standard_error": None, "count": 3, "greater_is_better": True}
        (folder / "results.json").write_text(json.dumps({"metrics": {"held": {"wins": number}}}))
        records = [{"index": index, "prompt": [{"role": "user"}], "wins": 0.5} for index in range(3)]
        (folder / "samples.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    (table,) = tables(tmp_path, 2, 2)
    assert (table.name, table.step, table.left_out) == ("judge", 2, 1)
    assert table.numbers == [{"dataset": "held", "metric": "wins", "value": 0.5, "standard_error": None, "count": 3}]
    assert table.examples[1] == {"index": 1, "prompt": '[{"role": "user"}]', "wins": 0.5}


def test_a_table_of_markdown_keeps_its_columns() -> None:
    rows = [{"a": "x|y\nz", "b": 0.25}, {"a": None, "c": 1}]
    assert markdown(rows) == "| a | b | c |\n| --- | --- | --- |\n| x\\|y<br>z | 0.25 |  |\n|  |  | 1 |"


def test_files_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    for name in ("checkpoint-2/optimizer.pt", "adapter_model.safetensors", "run.yaml", ".lock"):
        (tmp_path / name).write_text("")
    assert [file.name for file in files(tmp_path)] == ["adapter_model.safetensors", "run.yaml"]


def test_the_machine_as_the_operating_system_tells_it() -> None:
    """RAM of the process as the kernel's own file has it, shares within their bounds."""
    system = System()
    busy = time.process_time() + 0.1
    while time.process_time() < busy:
        math.sqrt(2.0)
    sample = system.sample()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").is_file() else None
    if pages is not None:
        assert sample["process_ram_gib"] == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE") / 2**30, rel=0.1)
    assert 0 < sample["ram_percent"] <= 100 and 0 < sample["process_cpu_percent"] <= 100 * (psutil.cpu_count() or 1)
