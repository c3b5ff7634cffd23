"""A run that is watched: what is told of it, when, and how often files are read for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_configuration.locks import locked
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_studio.topics import Message
from tunesmith_library_studio.watching import logs
from tunesmith_library_studio.watching.columns import Columns
from tunesmith_library_studio.watching.progress import phase, progress
from tunesmith_library_studio.watching.samples import evaluators, samples
from tunesmith_library_studio.watching.watcher import RunWatcher

NOW = 1_700_000_000.0


def add(run: Path, records: Iterable[Mapping[str, Any]], name: str = "metrics.jsonl") -> Path:
    run.mkdir(parents=True, exist_ok=True)
    with (run / name).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return run


def step(number: int, **more: Any) -> dict[str, Any]:
    told = {"event": "step", "step": number, "total_steps": 100, "epoch": number / 50, "loss": 1 / number}
    return {**told, "num_input_tokens_seen": 10.0 * number, "time": NOW + 2.0 * number, **more}


def kinds(messages: list[Message]) -> list[str]:
    return [message.type for message in messages]


@pytest.fixture
def studio(tmp_path: Path) -> Iterable[Studio]:
    studio = Studio(Workspace(Path("runs"), tmp_path))
    yield studio
    studio.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "group" / "run"
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("stage: {name: sft}\ntrainer: {eval_steps: 4, save_steps: 6}\n")
    return folder


def test_points_are_told_once_and_where_they_are_on_each_axis(studio: Studio, run: Path) -> None:
    watcher = studio.watching.run("group/run")
    assert watcher.changes() == [] and kinds(watcher.first()) == ["state", "progress"], "nothing is logged"
    add(run, [step(1), step(2)])
    told = {message.type: message.data for message in watcher.changes()}
    assert (told["metrics"]["start"], told["metrics"]["rows"]) == (0, 2) and told["progress"]["step"] == 2
    assert told["metrics"]["points"]["loss"] == {"step": [1, 2], "y": [1.0, 0.5]}
    assert told["metrics"]["places"]["tokens"] == {"1": 10.0, "2": 20.0}
    assert told["metrics"]["places"]["time"] == {"1": 0.0, "2": 2.0}
    add(run, [step(3)])
    (message,) = (message for message in watcher.changes() if message.type == "metrics")
    assert message.topic == "run:group/run" and message.data["start"] == 2
    assert message.data["points"]["loss"]["step"] == [3]
    assert watcher.changes() == []


def test_a_run_that_goes_on_from_an_earlier_step_has_its_curves_asked_for_again(studio: Studio, run: Path) -> None:
    add(run, [step(number) for number in range(1, 9)])
    watcher = studio.watching.run("group/run")
    add(run, [step(5)])
    (message,) = (message for message in watcher.changes() if message.type == "metrics")
    assert message.data["generation"] == 1 and message.data["points"] == {}
    add(run, [step(6)])
    (message,) = (message for message in watcher.changes() if message.type == "metrics")
    assert message.data["generation"] == 1 and message.data["points"]["loss"]["step"] == [6]


def test_warnings_log_and_end_are_told_as_they_come(studio: Studio, run: Path) -> None:
    add(run, [step(1)])
    (run / "train.log").write_text("first line\n", encoding="utf-8")
    with locked(run / "run.lock", run, "training"):
        watcher = studio.watching.run("group/run")
        first = {message.type: message.data for message in watcher.first()}
        assert first["state"]["state"] == "running" and first["state"]["log"] == "train.log"
        assert first["progress"]["processes"]["count"] >= 1 and first["progress"]["phase"] == "training"
        assert [line["text"] for line in first["log"]["lines"]] == ["first line"]
        add(
            run,
            [{"step": 1, "name": "loss_rises", "message": "it rises", "advice": "less", "time": NOW}],
            "guard.jsonl",
        )
        with (run / "train.log").open("a", encoding="utf-8") as log:
            log.write("10%\r20%\r30% 第三\nWARNING: late\nhalf a li")
        told = {message.type: message.data for message in watcher.changes()}
        assert told["warning"]["name"] == "loss_rises"
        assert [(line["text"], line["level"]) for line in told["log"]["lines"]] == [
            ("30% 第三", ""),
            ("WARNING: late", "warning"),
        ]
        assert watcher.changes() == []
    (run / "run.json").write_text(json.dumps({"status": "finished", "measured": {"seconds": {"step": 2.0}}}))
    told = {message.type: message.data for message in watcher.changes()}
    assert told["state"]["state"] == "done" and told["state"]["record"]["measured"]["seconds"]["step"] == 2.0
    assert told["progress"]["phase"] == "ended" and told["progress"]["seconds_left"] is None
    shutil.rmtree(run)
    assert kinds(watcher.changes()) == ["error"] and watcher.changes() == []


def test_a_run_that_waits_is_told_of_when_it_begins(studio: Studio, tmp_path: Path) -> None:
    watcher = studio.watching.run("later")
    (message,) = watcher.first()
    assert message.type == "error" and "has not begun" in message.data and watcher.changes() == []
    run = add(tmp_path / "runs" / "later", [step(1)])
    (run / "run.yaml").write_text("stage: {name: sft}\n")
    watcher._seldom = 0.0  # three seconds later
    told = {message.type: message.data for message in watcher.changes()}
    assert told["state"]["stage"] == "sft" and told["metrics"]["rows"] == 1 and kinds(watcher.first())[0] == "state"


def test_twenty_listeners_read_the_file_no_more_often_than_one(studio: Studio, run: Path) -> None:
    add(run, [step(1)])
    looks = 0
    looked = RunWatcher.changes

    def counted(self: RunWatcher) -> list[Message]:
        nonlocal looks
        looks += 1
        add(run, [step(looks + 1)])
        return looked(self)

    async def listen() -> None:
        studio.topics._pause = 0.02  # not a second

        async def one() -> None:
            async for message in studio.topics.listen(["run:group/run"]):
                if message.type == "metrics" and message.data["rows"] >= 4:
                    return

        await asyncio.gather(*(one() for _ in range(20)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWatcher, "changes", counted)
        asyncio.run(listen())
    assert looks <= 8


def test_what_a_run_does_is_seen_by_its_steps(tmp_path: Path) -> None:
    """A trainer logs a step, then evaluates and saves."""
    config = {"trainer": {"eval_strategy": "steps", "eval_steps": 4, "save_steps": 0.06}}
    columns = Columns()
    assert phase(tmp_path, columns, "running", config) == "starting"
    columns.take([step(number) for number in range(1, 5)])
    assert phase(tmp_path, columns, "running", config) == "evaluating"
    columns.take([{"event": "evaluation", "step": 4, "eval_loss": 1.0}])
    assert phase(tmp_path, columns, "running", config) == "training"
    columns.take([step(5), step(6)])
    assert phase(tmp_path, columns, "running", config) == "saving"
    (tmp_path / "checkpoint-6").mkdir()
    assert phase(tmp_path, columns, "running", config) == "training"
    assert phase(tmp_path, columns, "running", {"trainer": {"save_strategy": "epoch", "save_steps": 6}}) == "training"
    assert phase(tmp_path, columns, "done", config) == "ended"


def test_time_left_is_by_the_pace_of_late_steps(tmp_path: Path) -> None:
    """10 s a step at first, then a night's pause, then 2 s a step."""
    columns = Columns()
    columns.take([{"step": number, "total_steps": 300, "time": NOW + 10 * number} for number in range(1, 100)])
    columns.take(
        [{"step": number, "total_steps": 300, "time": NOW + 40_000 + 2 * number} for number in range(100, 201)]
    )
    told = progress(columns, "training", NOW + 40_000 + 400)
    assert told["pace"] == pytest.approx(2.0) and told["seconds_left"] == pytest.approx(200.0)
    assert told["share"] == pytest.approx(200 / 300) and told["tokens"] is None
    assert progress(columns, "ended")["seconds_left"] is None
    assert progress(Columns(), "starting")["pace"] is None


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "train.log"
    with file.open("w", encoding="utf-8") as log:
        for number in range(50_000):
            log.write(f"line {number} 中文\n")
    last = logs.window(file)
    assert last["start"] > os.path.getsize(file) / 2 and last["lines"][-1]["text"] == "line 49999 中文"
    tracemalloc.start()
    logs.window(file)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 3e6, "as much as the lines of one window take"
    assert last["size"] == last["end"] == os.path.getsize(file)
    before = logs.window(file, last["start"])
    number = int(last["lines"][0]["text"].split()[1])
    assert before["lines"][-1]["text"] == f"line {number - 1} 中文" and before["end"] == last["start"]
    found = logs.search(file, "LINE 4999", most=10)
    assert found["found"] == 11 and [line["text"] for line in found["lines"]][-1] == "line 49999 中文"
    assert logs.search(file, "", "warning")["lines"] == []
    assert logs.since(file, 0)["start"] > 0, "what nobody could read is left out"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("UserWarning: deprecated", "warning"),
        ("guard: loss_rises at step 3", "warning"),
        ("torch.OutOfMemoryError: CUDA out of memory", "error"),
        ("Traceback (most recent call last):", "error"),
        ("loss 0.5  errors_left 3", ""),
        ("\x1b[31mstep 3\x1b[0m", ""),
    ],
)
def test_levels_of_lines(text: str, level: str) -> None:
    told = logs.line(f"{text}\r\n".encode(), 0)
    assert told["level"] == level and "\x1b" not in told["text"]


def answered(run: Path, number: int, texts: list[str]) -> None:
    records = [
        {"dataset": "held", "index": at, "bleu": 5.0, "prompt": [{"role": "user"}], "answer": "x", "prediction": text}
        for at, text in enumerate(texts)
    ]
    folder = add(run / "eval" / "text_metrics" / f"step-{number}", records, "samples.jsonl")
    (folder / "results.json").write_text("{}")


def test_answers_stand_side_by_side_over_the_steps(tmp_path: Path) -> None:
    for number in range(10, 130, 10):
        answered(tmp_path, number, [f"{at} at {number}" for at in range(7)])
    (tmp_path / "eval" / "perplexity" / "step-10").mkdir(parents=True)
    found = {each["name"]: each for each in evaluators(tmp_path)}
    assert found["text_metrics"]["records"] and not found["perplexity"]["records"]
    told = samples(tmp_path, "text_metrics", offset=5, limit=5)
    assert told["steps"] == [10, 60, 70, 80, 90, 100, 110, 120] and told["total"] == 7
    assert [item["index"] for item in told["items"]] == [5, 6]
    item = told["items"][0]
    assert item["answer"] == "x" and item["by_step"]["60"] == {"bleu": 5.0, "prediction": "5 at 60"}
    answered(tmp_path, 130, ["only one"])
    told = samples(tmp_path, "text_metrics", steps=(120, 130))
    assert len(told["items"]) == 1 and told["items"][0]["by_step"]["120"]["prediction"] == "0 at 120"
    with pytest.raises(TunesmithError, match="there are: perplexity, text_metrics"):
        samples(tmp_path, "../../..", ())


def test_the_machine_is_told_every_other_second(studio: Studio) -> None:
    watcher = studio.watching.machine()
    (message,) = watcher.first()
    sample = message.data
    assert (
        0 < sample["memory"]["used"] < sample["memory"]["total"]
        and 0 < sample["disk"]["used"] < sample["disk"]["total"]
    )
    assert 0 <= sample["cpu_percent"] <= 100 and sample["cores"] >= 1 and isinstance(sample["gpus"], list)
    assert kinds(watcher.changes()) == ["sample"] and watcher.changes() == []


def test_how_busy_the_cores_are_is_measured_before_it_is_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {None: 0.0}  # what psutil says of no time at all
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: measured.get(interval, 42.0))
    (message,) = studio.watching.machine().first()
    assert message.data["cpu_percent"] == 42.0


def test_a_run_without_a_log_says_so(studio: Studio, run: Path) -> None:
    assert studio.watching.log("group/run") == {"file": None, "lines": [], "start": 0, "end": 0, "size": 0}
    with pytest.raises(TunesmithError, match="started in a terminal"):
        studio.watching.log_path("group/run")
    with pytest.raises(TunesmithError):
        studio.watching.state("group/none")
