"""Runs as a page lists them: found, told apart, noted about, moved, deleted and brought back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.locks import locked
from tunesmith_library_studio.runs import Asked, Runs, index
from tunesmith_library_studio.runs.facts import Facts, facts_of
from tunesmith_library_studio.runs.folders import NoSuchRun, Place
from tunesmith_library_studio.runs.watching import RunsWatcher
from tunesmith_library_studio.workspace import Workspace

CONFIG = """\
tunesmith: 0.1.0
model: {name: transformers, path: MODEL}
data: {name: datasets, train: [{path: data/train.json, name: null}]}
stage: {name: sft}
adapter: {name: lora, rank: 8}
trainer: {name: transformers, learning_rate: 1.0e-04, metric_for_best_model: null, greater_is_better: null}
"""


def made(
    runs: Path,
    name: str,
    *,
    config: str = CONFIG,
    model: str = "org/model",
    steps: int = 3,
    status: str | None = None,
    result: bool = True,
    checkpoints: tuple[int, ...] = (),
) -> Path:
    """A folder as a run leaves it."""
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(config.replace("MODEL", model), encoding="utf-8")
    lines = [
        {"event": "step", "step": step, "total_steps": 10, "loss": 3.0 - step / 10} for step in range(1, steps + 1)
    ]
    lines += [
        {"event": "evaluation", "step": 2, "eval_loss": 2.5},
        {"event": "evaluation", "step": 3, "eval_loss": 2.75},
    ]
    text = "".join(json.dumps({**line, "time": time.time()}) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text if steps else "", encoding="utf-8")
    for step in checkpoints:
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "complete.json").write_text("{}")
        (folder / f"checkpoint-{step}" / "adapter_model.safetensors").write_bytes(b"x" * 100)
    if result:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"x" * 1000)
    if status:
        told = {"status": status, "measured": {"seconds": {"loading": 1.5, "training": 2.5}}}
        (folder / "run.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "root").mkdir()
    return Workspace(Path("runs"), tmp_path / "root")


@pytest.fixture
def runs(workspace: Workspace) -> Runs:
    return Runs(workspace)


def states(runs: Runs) -> dict[str, str]:
    return {row["name"]: row["state"] for row in runs.rows()}


def test_states_follow_from_what_a_run_left(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "done", status="finished")
    made(workspace.runs, "without record")
    made(workspace.runs, "failed", status="failed", result=False, checkpoints=(2,))
    made(workspace.runs, "interrupted", status="interrupted", result=False, checkpoints=(2, 10))
    made(workspace.runs, "killed", result=False, checkpoints=(2,))
    made(workspace.runs, "killed early", result=False)
    half = made(workspace.runs, "half a checkpoint", result=False, checkpoints=(2,))
    (half / "checkpoint-2" / "complete.json").unlink()
    assert states(runs) == {
        "done": "done",
        "without record": "done",
        "failed": "failed",
        "interrupted": "stopped",
        "killed": "stopped",
        "killed early": "incomplete",
        "half a checkpoint": "incomplete",
    }
    assert {row["name"] for row in runs.rows() if row["resumable"]} == {"failed", "interrupted", "killed"}


def test_a_record_of_an_earlier_start_says_nothing_of_a_killed_one(workspace: Workspace, runs: Runs) -> None:
    folder = made(workspace.runs, "resumed", status="finished", result=False, checkpoints=(2,))
    os.utime(folder / "run.json", (1e9, 1e9))
    assert states(runs) == {"resumed": "stopped"}


def test_who_trains_now_is_seen_and_who_was_killed_is_not(workspace: Workspace, runs: Runs) -> None:
    folder = made(workspace.runs, "a", result=False)
    with locked(folder / "run.lock", folder, "training"):
        assert states(runs) == {"a": "running"}
        assert runs.row("a")["seconds"] < 5
        with pytest.raises(ConfigError, match="in use"):
            runs.delete("a")
        with pytest.raises(ConfigError, match="in use"):
            runs.rename("a", "b")
        words = "import sys, pathlib; from tunesmith_library_configuration import locks; "
        words += "locks._made(pathlib.Path(sys.argv[1]), 'training')"
    subprocess.run([sys.executable, "-c", words, str(folder / "run.lock")], check=True)
    assert (folder / "run.lock").exists()
    assert states(runs) == {"a": "incomplete"}


def test_jobs_say_that_a_run_is_asked_to_stop_or_failed_before_it_began(workspace: Workspace) -> None:
    folder = made(workspace.runs, "a", result=False)
    job = SimpleNamespace(id="1", kind="train", run="a", state="stopping")
    runs = Runs(workspace, lambda: [job])
    with locked(folder / "run.lock", folder, "training"):
        assert runs.row("a")["state"] == "stopping"
    with pytest.raises(TunesmithError, match="at work: job 1"):
        runs.delete("a")
    job.state = "failed"
    assert runs.row("a")["state"] == "failed"
    job.kind = "eval"
    assert runs.row("a")["state"] == "incomplete", "an evaluation that failed is not the training"


def test_a_row_has_what_the_folder_says(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "group/模型 一", status="finished", checkpoints=(2,))
    (row,) = runs.rows()
    assert row["name"] == "group/模型 一"
    assert (row["stage"], row["adapter"], row["model"], row["data"]) == ("sft", "lora", "org/model", ["train.json"])
    assert (row["step"], row["total_steps"], row["loss"], row["seconds"]) == (3, 10, 2.7, 4.0)
    assert (row["metric"], row["value"], row["best"], row["best_step"]) == ("eval_loss", 2.75, 2.5, 2)
    assert (row["checkpoints"], row["result"], row["resumable"]) == (1, "adapter", False)
    assert runs.get("group/模型 一")["configuration"]["trainer"]["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    "broken", ["[1, 2]", "a: [", "\ud800", "x: " + "[" * 5000, ""], ids=["list", "half", "bytes", "deep", "empty"]
)
def test_broken_configurations_are_told_and_spoil_nothing(workspace: Workspace, runs: Runs, broken: str) -> None:
    made(workspace.runs, "good")
    folder = made(workspace.runs, "bad", status="finished")
    (folder / "run.yaml").write_bytes(broken.encode("utf-8", "surrogatepass"))
    (folder / "run.json").write_text("{")
    (folder / "metrics.jsonl").write_bytes(b'\xff\xfe\n[]\n{"step": "x"}\n{"half": ')
    rows = {row["name"]: row for row in runs.rows()}
    assert rows["good"]["stage"] == "sft"
    assert "run.yaml cannot be read" in rows["bad"]["problem"]
    assert runs.get("bad")["name"] == "bad"


def test_folders_of_other_programs_are_marked(workspace: Workspace, runs: Runs) -> None:
    folder = workspace.runs / "saves" / "lora"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "Qwen/Qwen3-4B", "peft_type": "LORA", "r": 8}'
    )
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    (folder / "training_args.yaml").write_text("stage: rm\ndataset: a, b\nmodel_name_or_path: Qwen/Qwen3-4B\n")
    log = [
        {"current_steps": 5, "total_steps": 10, "loss": 2.0, "lr": 1e-4},
        {"current_steps": 10, "total_steps": 10, "loss": 1.5},
    ]
    (folder / "trainer_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    (row,) = runs.rows()
    assert (row["name"], row["foreign"], row["state"]) == ("saves/lora", True, "done")
    assert (row["model"], row["adapter"], row["stage"], row["data"]) == ("Qwen/Qwen3-4B", "lora", "reward", ["a", "b"])
    assert (row["step"], row["loss"]) == (10, 1.5)
    assert not row["resumable"]


def test_exports_and_models_are_no_runs(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "group/a")
    export = workspace.runs / "group" / "a-merged"
    export.mkdir()
    (export / "export_report.json").write_text('{"format": "merged"}')
    (export / "adapter_config.json").write_text("{}")
    assert [row["name"] for row in runs.rows()] == ["group/a"]
    for name, file in (("a-gguf", "model-Q4_0.gguf"), ("a-unproven", "config.json"), ("a-none", "notes.txt")):
        (workspace.runs / "group" / name).mkdir()
        (workspace.runs / "group" / name / file).write_text("{}")
    found = [(each["name"], each["proven"]) for each in runs.get("group/a")["exports"]]
    assert found == [("a-gguf", False), ("a-merged", True), ("a-unproven", False)]


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc", "a/../../x", ".studio", "", "a//b", "a/b/c/d", "a\0b", "nothing", "link"]
)
def test_names_lead_nowhere_else(workspace: Workspace, runs: Runs, tmp_path: Path, name: str) -> None:
    made(workspace.runs, "a")
    made(tmp_path, "outside")
    (workspace.runs / "link").symlink_to(tmp_path / "outside")
    assert [row["name"] for row in runs.rows()] == ["a"]
    for act in (runs.get, runs.delete, lambda name: runs.note(name, ["x"], None), lambda name: runs.rename(name, "b")):
        with pytest.raises(TunesmithError):
            act(name)
    assert (tmp_path / "outside" / "run.yaml").is_file()


def test_files_of_a_run_are_read_and_no_others(workspace: Workspace, runs: Runs, tmp_path: Path) -> None:
    folder = made(workspace.runs, "a")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (folder / "linked.txt").symlink_to(secret)
    (folder / "README.md").symlink_to(secret)
    assert runs.file("a", "run.yaml").read_text().startswith("tunesmith")
    for path in ("../../../secret.txt", str(secret), "linked.txt", "nothing", "", ".."):
        with pytest.raises(TunesmithError):
            runs.file("a", path)
    told = runs.get("a")
    assert told["card"] == ""
    assert "linked.txt" not in [file["path"] for file in told["files"]]


def test_a_thousand_runs_are_read_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        folder = workspace.runs / ("sweep" if number % 2 else "") / f"{number:04}"
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text(
            f"model: {{path: org/model-{number % 3}}}\ntrainer: {{learning_rate: {number}}}\n"
        )
    read: list[str] = []

    def reading(place: Place, before: Facts | None) -> Facts:
        read.append(place.name)
        return facts_of(place, before)

    monkeypatch.setattr(index, "facts_of", reading)
    runs = Runs(workspace)
    assert runs.page(Asked())["total"] == 1000
    assert len(read) == 1000
    page = Runs(workspace).page(Asked(model="org/model-1", sort="trainer.learning_rate", limit=10))  # another server
    assert (page["total"], len(page["items"]), len(read)) == (333, 10, 1000)
    (workspace.runs / "0000" / "loss.png").write_bytes(b"x")
    runs.rows()
    assert read[1000:] == ["0000"]


def test_the_table_is_searched_sorted_and_widened(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "b", model="org/Qwen")
    made(workspace.runs, "a", config=CONFIG.replace("1.0e-04", "2.0e-05"))
    made(workspace.runs, "c", config=CONFIG.replace("learning_rate: 1.0e-04, ", ""))
    runs.note("b", ["best", " best ", "新"], "the **one**")
    columns = ("trainer.learning_rate", "metrics.eval_loss")
    page = runs.page(Asked(sort="trainer.learning_rate", descending=False, columns=columns))
    assert [row["name"] for row in page["items"]] == ["a", "b", "c"], "what has no value comes last"
    assert page["items"][0]["values"] == {"trainer.learning_rate": 2e-5, "metrics.eval_loss": 2.75}
    assert [row["name"] for row in runs.page(Asked(sort="name"))["items"]] == ["c", "b", "a"]
    assert [row["name"] for row in runs.page(Asked(search="qwen the"))["items"]] == ["b"]
    assert [row["name"] for row in runs.page(Asked(tag="新"))["items"]] == ["b"]
    assert runs.page(Asked())["values"]["tag"] == ["best", "新"]
    assert {"adapter.rank", "metrics.loss"} <= set(runs.columns())


def test_the_trash_gives_back_what_it_took(workspace: Workspace, runs: Runs) -> None:
    folder = made(workspace.runs, "group/a", checkpoints=(2,))
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    runs.note("group/a", ["kept"], "why")
    identity = runs.delete("group/a")
    assert runs.rows() == []
    assert [(each["id"], each["name"]) for each in runs.trash.all()] == [(identity, "group/a")]
    made(workspace.runs, "group/a")
    with pytest.raises(TunesmithError, match="another"):
        runs.restore(identity)
    row = runs.restore(identity, "group/b")
    assert (row["tags"], row["notes"], row["checkpoints"]) == (["kept"], "why", 1)
    after = workspace.runs / "group" / "b"
    assert {path.relative_to(after): path.read_bytes() for path in after.rglob("*") if path.is_file()} == before
    assert runs.row("group/a")["tags"] == []
    runs.delete("group/b")
    assert runs.trash.empty() > 1000
    assert runs.trash.all() == []
    with pytest.raises(TunesmithError, match="no such run"):
        runs.restore("../..")


def test_what_others_name_is_kept(workspace: Workspace, runs: Runs) -> None:
    folder = made(workspace.runs, "base", checkpoints=(2,))
    made(workspace.runs, "child", model="runs/base/checkpoint-2")
    made(workspace.runs, "other", model=str(folder))
    for act in (lambda: runs.delete("base"), lambda: runs.rename("base", "b")):
        with pytest.raises(TunesmithError, match=r"child: model\.path\n  other: model\.path"):
            act()
    runs.delete("base", anyway=True)
    assert [row["name"] for row in runs.rows()] == ["child", "other"]


def test_a_renamed_run_keeps_its_notes_and_is_no_stranger(
    workspace: Workspace, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith_library_configuration.ownership import is_strange, remember

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    remember(made(workspace.runs, "a") / "run.yaml")
    runs.note("a", ["x"], None)
    made(workspace.runs, "c")
    with pytest.raises(TunesmithError, match="already"):
        runs.rename("a", "c")
    assert runs.rename("a", "new/b")["tags"] == ["x"]
    assert not is_strange(workspace.runs / "new" / "b" / "run.yaml")
    assert runs.rename("c", "d")["name"] == "d"
    assert is_strange(workspace.runs / "d" / "run.yaml"), "a stranger's record does not become one's own"


def test_a_run_does_not_come_to_lie_in_another(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "a")
    made(workspace.runs, "b")
    with pytest.raises(TunesmithError, match="in the folder of a run, runs/b"):
        runs.rename("a", "b/a")
    assert states(runs) == {"a": "done", "b": "done"}


def test_numbers_that_json_does_not_know_are_null(workspace: Workspace, runs: Runs) -> None:
    folder = made(
        workspace.runs, "a", config="trainer: {max_grad_norm: .inf, adam_epsilon: .nan}\nx: [.inf]\n", steps=0
    )
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": NaN, "eval_loss": Infinity, "grad_norm": 1e999}\n')
    (folder / "run.json").write_text('{"status": "failed", "measured": {"seconds": {"loading": NaN}}}')
    (workspace.state / "notes.json").write_text('{"a": 5}')
    text = json.dumps([runs.page(Asked(columns=("trainer.max_grad_norm", "x"))), runs.get("a")], allow_nan=False)
    assert "Infinity" not in text and runs.row("a")["state"] == "failed"


def test_notes_have_bounds(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "a")
    with pytest.raises(TunesmithError, match="60 characters"):
        runs.note("a", ["x" * 61], None)
    with pytest.raises(TunesmithError, match="100,000"):
        runs.note("a", None, "x" * 100_001)
    with pytest.raises(NoSuchRun, match="did you mean a"):
        runs.note("A", ["x"], None)


def test_changes_are_told(workspace: Workspace, runs: Runs) -> None:
    made(workspace.runs, "a")
    made(workspace.runs, "b")
    watcher = RunsWatcher(runs.rows, share=1)
    assert [(message.type, message.data) for message in watcher.first()] == [("runs", {"total": 2})]
    assert watcher.changes() == []
    made(workspace.runs, "c")
    runs.note("a", ["x"], None)
    runs.delete("b")
    told: list[tuple[str, Any]] = [(message.type, message.data["name"]) for message in watcher.changes()]
    assert sorted(told) == [("added", "c"), ("changed", "a"), ("removed", "b")]


def test_many_runs_are_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look of half a second may be made every 25 seconds: 2 % of the time."""
    now = [0.0]
    monkeypatch.setattr("tunesmith_library_studio.runs.watching.time", SimpleNamespace(monotonic=lambda: now[0]))

    looks = []

    def rows() -> list[dict[str, Any]]:
        looks.append(now[0])
        now[0] += 0.5
        return []

    watcher = RunsWatcher(rows)
    for _ in range(100):
        now[0] += 1.0
        watcher.changes()
    assert 0.5 * len(looks) / now[0] == pytest.approx(0.02, abs=0.005)
