"""Curves: what a run logged, read as it grows, thinned without losing extremes, smoothed, over any axis."""

from __future__ import annotations

import io
import json
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tunesmith import TunesmithError
from tunesmith_library_plotting.reading import read
from tunesmith_library_studio.watching import keeping, recording
from tunesmith_library_studio.watching.columns import Columns
from tunesmith_library_studio.watching.curves import Curves, View
from tunesmith_library_studio.watching.progress import progress
from tunesmith_library_studio.watching.recording import Recording, _records
from tunesmith_library_studio.watching.thinning import smoothed, thinned
from tunesmith_library_studio.workspace import Workspace


def write(run: Path, records: Iterable[Mapping[str, Any]], name: str = "metrics.jsonl", mode: str = "w") -> Path:
    run.mkdir(parents=True, exist_ok=True)
    with (run / name).open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return run


def step(number: int, **more: Any) -> dict[str, Any]:
    return {"event": "step", "step": number, "total_steps": 100, "loss": 1 / number, "time": 1e9 + 2.0 * number, **more}


def values(columns: Columns, name: str = "loss") -> dict[int, float]:
    return dict(zip(columns[name].steps, columns[name].values, strict=True))


@pytest.fixture
def curves(tmp_path: Path) -> Curves:
    return Curves(Workspace(Path("runs"), tmp_path))


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [step(1)])
    recording = Recording(run)
    text = json.dumps(step(2)) + "\n"
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for part in (text[:9], text[9:-3], text[-3:]):
            assert values(recording.look()) == {1: 1.0}
            file.write(part)
            file.flush()
    assert values(recording.look()) == {1: 1.0, 2: 0.5} and recording.generation == 0


def test_half_a_line_that_is_finished_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write(tmp_path / "run", [step(1)])
    text = json.dumps(step(2)) + "\n"
    is_whole = recording._is_whole

    def finished_meanwhile(line: bytes) -> bool:
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(text[9:] + json.dumps(step(4)) + "\n")
        return is_whole(line)

    monkeypatch.setattr(recording, "_is_whole", finished_meanwhile)
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(text[:9])
    read_so_far = Recording(run)
    assert values(read_so_far.look()) == {1: 1.0}
    assert values(read_so_far.look()) == {1: 1.0, 2: 0.5, 4: 0.25}


def test_a_last_line_without_an_end_is_read(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [step(1)])
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(step(2)))
        file.flush()
        recording = Recording(run)
        assert values(recording.look()) == {1: 1.0, 2: 0.5}
        file.write("\n" + json.dumps(step(4)) + "\n")
    assert values(recording.look()) == {1: 1.0, 2: 0.5, 4: 0.25}


def test_what_is_no_number_is_left_out_and_counted(tmp_path: Path) -> None:
    """NaN as Python writes it, null as tracker.jsonl does, texts, lines that are none."""
    run = write(tmp_path / "run", [step(1), step(2, loss=math.nan), step(3, loss=None), step(4, note="损失 ✓")])
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 5, "loss": Infinity}\nno JSON\n[1]\n7\n{"loss": 3}\n\xff\xfe\n{"step": "6", "loss": 1}\n')
    write(run, [step(8)], mode="a")
    columns = Recording(run).look()
    assert values(columns) == {1: 1.0, 4: 0.25, 8: 0.125} and columns["loss"].skipped == 3
    assert "note" not in columns and "event" not in columns


def test_steps_that_were_made_again_count(tmp_path: Path) -> None:
    """Another program appends to its file when a run goes on from step 3: what was logged behind it is forgotten."""
    first = [
        {"current_steps": number, "lr": 0.1, "loss": 1.0, "elapsed_time": f"0:00:0{number}"} for number in range(1, 7)
    ]
    run = write(tmp_path / "run", first, "trainer_log.jsonl")
    recording = Recording(run)
    assert list(values(recording.look())) == [1, 2, 3, 4, 5, 6]
    write(run, [{**record, "loss": 2.0} for record in first[3:5]], "trainer_log.jsonl", "a")
    assert values(recording.look()) == {1: 1, 2: 1, 3: 1, 4: 2, 5: 2} and recording.generation == 1
    assert values(recording.columns, "time")[5] == 5 and values(recording.columns, "learning_rate")[5] == 0.1


def test_time_is_that_of_training(tmp_path: Path, curves: Curves) -> None:
    """Two pauses are taken out of it, as `tunesmith plot` does; the table has the moments as they were."""
    late = [step(number, time=1e9 + 5000.0 + 2.0 * number) for number in range(4, 7)]
    late[0]["resumed_at"] = 1e9 + 5006.0
    last = step(7, time=1e9 + 90_001.0, resumed_at=1e9 + 90_000.0)
    run = write(tmp_path / "runs" / "run", [*(step(number) for number in range(1, 4)), *late, last])
    found = curves.of("run", View(axis="time"))
    assert found["curves"]["loss"]["x"] == [0, 2, 4, 6, 8, 10, 11]
    assert [*read(run).places["time"].values()] == [0, 2, 4, 6, 8, 10, 11]
    assert "resumed_at" not in {metric["name"] for metric in found["metrics"]} and "resumed_at" not in read(run).others
    assert pd.read_csv(io.StringIO(curves.table("run", ["loss"])))["time"].iloc[-1] == 1e9 + 90_001.0
    told = progress(curves.recording("run").columns, "training", now=1e9 + 90_001.0)
    assert (told["seconds"], told["logged"]) == (11.0, 1e9 + 90_001.0)


def test_a_long_file_is_read_by_one_server_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is kept; another file in its place, or a damaged copy, is read anew."""
    monkeypatch.setattr(keeping, "LONG", 1000)
    parsed: list[int] = []
    monkeypatch.setattr(recording, "_records", lambda lines: (parsed.append(len(lines)), _records(lines))[1])
    run, place = write(tmp_path / "run", [step(number) for number in range(1, 60)]), tmp_path / "kept"
    whole = Recording(run, place).look()
    write(run, [step(60, resumed_at=1e9 + 7000.0, time=1e9 + 7001.0)], mode="a")
    again = Recording(run, place).look()
    assert parsed == [59, 1] and again.rows == 60 and again.paused(60) > 0
    assert {step: value for step, value in values(again).items() if step < 60} == values(whole)
    text = (run / "metrics.jsonl").read_text().replace('"loss": 1.0', '"loss": 3.0')
    (tmp_path / "draft").write_text(text[:-2] + "9}\n")
    os.replace(tmp_path / "draft", run / "metrics.jsonl")
    assert values(Recording(run, place).look())[1] == 3.0
    for kept in place.iterdir():
        kept.write_bytes(kept.read_bytes()[:-9])
    assert values(Recording(run, place).look())[1] == 3.0 and parsed == [59, 1, 60, 60]
    assert Recording(run, tmp_path / "run" / "metrics.jsonl" / "none").look().rows == 60, "where nothing can be kept"


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    """By a rename, as tracker.jsonl does for a resumed run; or in place, longer than it was."""
    run = write(tmp_path / "run", [step(1), step(2), step(3)])
    recording = Recording(run)
    recording.look()
    write(tmp_path, [step(1, loss=7.0)], "draft")
    os.replace(tmp_path / "draft", run / "metrics.jsonl")
    assert values(recording.look()) == {1: 7.0} and recording.generation == 1
    write(run, [step(number, loss=9.0) for number in range(1, 9)])
    assert set(values(recording.look()).values()) == {9.0} and recording.generation == 2


def test_a_deleted_run_is_told_of(tmp_path: Path, curves: Curves) -> None:
    run = write(tmp_path / "runs" / "group" / "运行 1", [step(1)])
    assert curves.of("group/运行 1", View())["curves"]["loss"]["y"] == [1.0]
    (run / "metrics.jsonl").unlink()
    with pytest.raises(TunesmithError, match="gone"):
        curves.of("group/运行 1", View())
    run.rmdir()
    for name in ("group/运行 1", "../elsewhere", "", ".studio"):
        with pytest.raises(TunesmithError):
            curves.of(name, View())


def test_a_run_without_metrics_says_what_it_lacks(tmp_path: Path, curves: Curves) -> None:
    (tmp_path / "runs" / "new").mkdir(parents=True)
    with pytest.raises(TunesmithError, match=r"none of metrics\.jsonl"):
        curves.of("new", View())


def test_it_reads_what_plot_reads(tmp_path: Path, curves: Curves) -> None:
    """The same numbers as `tunesmith plot`, of ours, of a Trainer's state, of tables alone."""
    records = [step(number, eval_loss=2.0, tokens_of_a=3 * number, tokens_of_b=number) for number in range(1, 8)]
    ours = write(tmp_path / "runs" / "ours", records)
    state = tmp_path / "runs" / "theirs" / "checkpoint-7"
    state.mkdir(parents=True)
    (state / "trainer_state.json").write_text(
        json.dumps({"log_history": [*records, {"step": 7, "train_runtime": 3.0}]})
    )
    for name in ("ours", "theirs"):
        expected = read(ours.parent / name)
        found = curves.of(name, View(axis="tokens", metrics=("loss", "eval_loss")))
        for metric, curve in found["curves"].items():
            assert dict(zip(curve["step"], curve["y"], strict=True)) == expected.curves[metric]
            assert dict(zip(curve["step"], curve["x"], strict=True)) == expected.places["tokens"]
    table = tmp_path / "runs" / "tables" / "csv" / "metrics.csv"
    table.parent.mkdir(parents=True)
    table.write_text("step,time,train/loss,eval/loss\n1,5.0,0.5,\n2,6.0,0.25,\n2,7.0,,0.75\n")
    found = curves.of("tables", View(axis="time"))["curves"]
    assert found["loss"]["y"] == [0.5, 0.25] and found["eval_loss"]["y"] == [0.75] and found["eval_loss"]["x"] == [2.0]


def test_thinned_curves_keep_what_stands_out() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    values[[17, 5003, 9998]] = 50, -50, 60
    kept = thinned(values.tolist(), 0, len(values), 200)
    assert len(kept) <= 200 and kept == sorted(kept) and {0, 17, 5003, 9998, 9999} <= {*kept}
    for bounds in zip(np.linspace(0, 9999, 100)[:-1], np.linspace(0, 9999, 100)[1:], strict=True):
        assert any(bounds[0] - 101 <= place <= bounds[1] + 101 for place in kept), "a stretch is empty"
    assert thinned(values.tolist(), 100, 150, 200) == [*range(100, 150)]


def test_smoothing_is_the_averages_of_pandas() -> None:
    values = np.random.default_rng(1).normal(size=500)
    averages, total, weight = smoothed(values.tolist(), 0.9)
    expected = pd.Series(values).ewm(alpha=0.1, adjust=True).mean()
    assert np.allclose(averages, expected) and total / weight == pytest.approx(expected.iloc[-1])


def test_a_part_has_its_finer_points_and_one_beyond_each_end(tmp_path: Path, curves: Curves) -> None:
    write(tmp_path / "runs" / "run", (step(number) for number in range(1, 5001)))
    whole = curves.of("run", View(points=100))["curves"]["loss"]
    part = curves.of("run", View(points=100, start=1000, end=1040))["curves"]["loss"]
    assert len(whole["step"]) <= 100 and whole["thinned"] and not part["thinned"]
    assert part["step"] == [*range(999, 1042)] and part["count"] == 5000
    times = curves.of("run", View(points=100, axis="time", start=1998.0, end=2078.0))["curves"]["loss"]
    assert times["step"] == part["step"] and times["x"][1] == 1998.0


def test_names_are_explained(tmp_path: Path, curves: Curves) -> None:
    record = step(1, **{"eval_held_loss": 1.0, "eval_held_f1": 0.5, "rewards/chosen": 1.0, "router_aux_loss": 2.0})
    write(tmp_path / "runs" / "run", [record])
    found = {each["name"]: each for each in curves.of("run", View(more=("router_aux_loss",)))["metrics"]}
    assert found["eval_held_loss"]["measured_on"] == "evaluation held" and found["eval_held_loss"]["panel"] == "loss"
    assert found["eval_held_f1"]["shown"] and not found["router_aux_loss"]["shown"]
    assert found["rewards/chosen"]["short"] == "chosen" and "time" not in found
    assert "router_aux_loss" in curves.of("run", View(more=("router_aux_loss",)))["curves"]


def test_a_table_has_every_value(tmp_path: Path, curves: Curves) -> None:
    write(tmp_path / "runs" / "run", [*(step(number) for number in range(1, 2001)), {"step": 2000, "eval_loss": 0.5}])
    lines = curves.table("run", ("loss", "eval_loss")).splitlines()
    assert len(lines) == 2001 and lines[0] == "step,loss,time,eval_loss"
    assert lines[1] == "1,1.0,1000000002.0," and lines[-1].endswith(",0.5")


def test_what_nobody_looks_at_is_let_go(tmp_path: Path) -> None:
    curves = Curves(Workspace(Path("runs"), tmp_path), kept=12 * 2 * 250)
    recordings = []
    for name in "abc":
        write(tmp_path / "runs" / name, (step(number) for number in range(1, 101)))
        recordings.append(curves.recording(name))
    assert curves.recording("c") is recordings[2] and curves.recording("a") is not recordings[0]


def test_a_hundred_thousand_steps_are_read_soon_and_in_little_memory(tmp_path: Path, curves: Curves) -> None:
    """The bound on its seconds of a core is far above what it takes (0.4), for slower machines."""
    run = tmp_path / "runs" / "long"
    run.mkdir(parents=True)
    line = '{{"event": "step", "step": {0}, "total_steps": 100000, "epoch": {0}e-5, "loss": 1.23456789, "time": {0}}}\n'
    (run / "metrics.jsonl").write_text("".join(line.format(number) for number in range(1, 100_001)))
    began = time.process_time()
    found = curves.of("long", View(smoothing=0.6))
    assert time.process_time() - began < 2 and found["rows"] == 100_000 == found["curves"]["loss"]["count"]
    assert len(found["curves"]["loss"]["y"]) <= 1000 and curves.recording("long").columns.bytes <= 3 * 1_200_000
    write(run, [step(100_001)], mode="a")
    began = time.process_time()
    assert curves.recording("long").columns.rows == 100_001
    assert time.process_time() - began < 0.1, "the whole file was read again"


def test_a_run_is_drawn_while_it_is_read(tmp_path: Path, curves: Curves) -> None:
    """Two threads at once: no curve has steps without values."""
    run = write(tmp_path / "runs" / "run", [step(1)])
    ended = threading.Event()

    def grow() -> None:
        for start in range(2, 4000, 50):
            write(run, (step(number) for number in range(start, start + 50)), mode="a")
            curves.recording("run")
        ended.set()

    thread = threading.Thread(target=grow)
    thread.start()
    while not ended.is_set():
        curve = curves.of("run", View(points=10, smoothing=0.5))["curves"]["loss"]
        assert len(curve["x"]) == len(curve["y"]) == len(curve["smooth"])
        assert curves.table("run").count("\n") >= 2
    thread.join()
    assert curves.of("run", View())["curves"]["loss"]["count"] == 4001
