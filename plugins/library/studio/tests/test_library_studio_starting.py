"""Starting drafts: names of runs, what is written down, and what is refused before anything is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_studio import Workspace
from tunesmith_library_studio.configuring import Configuring, Forms, Given
from tunesmith_library_studio.configuring.starting import Start, start
from tunesmith_library_studio.configuring.writing import yaml_of


class Answering(Configuring):
    """Drafts that nobody examines: their values are as they were given, and wrong where they say so."""

    def answer(self, given: Given, client: str = "") -> dict[str, Any]:
        values = dict(given.values or {})
        placed = dict(word.split("=", 1) for word in given.overrides)
        problem = {"message": "adapter.rank cannot be 0.", "advice": "possible: from 1", "severity": "error"}
        wrong = [problem] if values.get("adapter") == {"name": "lora", "rank": 0} else []
        return {"values": values, "yaml": yaml_of({**values, **placed}), "problems": wrong}


class Jobs:
    """Keeps what is started."""

    def __init__(self) -> None:
        self.started: list[SimpleNamespace] = []

    def of_run(self, run: str) -> Any:
        return next((job for job in self.started if job.run == run), None)

    def start(self, kind: str, command: list[str], **how: Any) -> Any:
        self.started.append(SimpleNamespace(kind=kind, command=command, state="queued", **how))
        return self.started[-1]


@pytest.fixture
def studio(tmp_path: Path) -> Any:
    workspace = Workspace(Path("runs"), tmp_path)
    tagged: dict[str, Any] = {}
    runs = SimpleNamespace(expect=tagged.__setitem__, tagged=tagged)
    configuring = Answering(workspace, Forms(workspace))
    return SimpleNamespace(workspace=workspace, configuring=configuring, jobs=Jobs(), runs=runs)


def test_a_draft_is_written_down_and_queued(studio: Any, tmp_path: Path) -> None:
    values = {"model": {"path": "Qwen/Qwen3-8B"}, "adapter": {"name": "mine.py:Mine"}}
    job = start(studio, Given(values=values), Start(devices=["1"], tags=["sweep-1"]))
    assert (job.run, job.devices, job.tag, job.queued) == ("qwen3-8b-sft-Mine", ["1"], "sweep-1", True)
    assert studio.runs.tagged == {job.run: ["sweep-1"]}
    assert job.command == ["train", f"runs/.studio/configurations/{job.run}.yaml"]
    written = (tmp_path / job.command[1]).read_text()
    assert f"output_dir: runs/{job.run}" in written and "path: Qwen/Qwen3-8B" in written
    assert start(studio, Given(values=values), Start()).run == f"{job.run}-2"


def test_each_run_has_a_configuration_of_its_own(studio: Any, tmp_path: Path) -> None:
    names = ["a b", "a-b", "a/b", "lr=1", "lr%3D1", "测试"]
    files = [start(studio, Given(values={}), Start(name=name)).command[1] for name in names]
    assert len({*files}) == len(names) and not any("=" in file for file in files)
    for name, file in zip(names, files, strict=True):
        assert f"output_dir: runs/{name}\n" in (tmp_path / file).read_text(encoding="utf-8")


def test_the_folder_of_a_draft_is_its_name(studio: Any) -> None:
    assert start(studio, Given(values={"output_dir": "runs/group/a"}), Start()).run == "group/a"
    assert start(studio, Given(values={"output_dir": "saves/b"}), Start()).run == "b"
    assert start(studio, Given(values={"output_dir": "saves/b"}), Start(name="c")).run == "c"


def test_what_is_wrong_starts_nothing(studio: Any, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"cannot be 0\.\npossible"):
        start(studio, Given(values={"adapter": {"name": "lora", "rank": 0}}), Start(name="a"))
    assert not list(tmp_path.glob("runs/.studio/configurations/*.yaml")) and not studio.jobs.started
    start(studio, Given(values={}), Start(name="a"))
    with pytest.raises(TunesmithError, match="a is queued already"):
        start(studio, Given(values={}), Start(name="a"))
    for name in ("../a", ".studio/a", "a/../../b"):
        with pytest.raises(TunesmithError, match="no name of a run"):
            start(studio, Given(values={}), Start(name=name))
