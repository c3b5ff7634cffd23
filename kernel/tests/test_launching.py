"""A run of several processes starts its own command line again in each, and ends as they end."""

import sys
from typing import ClassVar

import pytest
import tunesmith
import yaml
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.cli.running import run as run_command_line
from tunesmith.compose import compose
from tunesmith.errors import ConfigError, Interrupted, WorkersFailed
from tunesmith.traits import ParallelTraits

CONFIG = {"model": {"path": "."}, "output_dir": "runs/two", "parallel": "two"}


@plugin
class Two:
    """Starts nothing, but says what it would."""

    code: ClassVar[int] = 0
    processes: int = 2  # how many

    @hookimpl
    def launch(self, command):
        self.calls.append(("launch", command))
        if command[-1].endswith(".yaml"):
            with open(command[-1], encoding="utf-8") as file:
                self.calls.append(("config", yaml.safe_load(file)))
        return self.code

    @hookimpl
    def place(self, model, job):
        self.calls.append(("place", model, job.model))
        return f"{model} in two halves"


@pytest.fixture
def parallel(plugins, calls, monkeypatch):
    monkeypatch.setattr(Two, "calls", calls, raising=False)
    return Catalog.of({**plugins, "parallel.two": Two})


def launched(calls):
    ((_, command),) = calls.of("launch")
    assert command[:5] == [sys.executable, "-m", "tunesmith", "train", "--launched"]
    return command[5:]


def test_a_file_and_overrides_are_passed_on(parallel, calls, tmp_path):
    (tmp_path / "c.yaml").write_text("model: {path: .}\noutput_dir: runs/two\n")
    folder = tunesmith.train("c.yaml", ["parallel=two", "adapter.rank=3"], catalog=parallel)
    assert launched(calls) == ["c.yaml", "parallel=two", "adapter.rank=3"]
    assert str(folder) == "runs/two" and not folder.exists(), "the workers make it"
    assert calls.names() == ["launch"], "nothing is loaded where nothing is trained"


def test_values_of_a_function_are_passed_on_as_yaml(parallel, calls):
    """The command line reads them as what they were."""
    overrides = {"adapter.rank": 3, "data.train": [{"path": "a: b.json", "format": "plain"}], "model.path": "no"}
    given = {**overrides, "parallel": "two", "output_dir": "x", "quantizer": None}
    tunesmith.train(None, given, catalog=parallel)
    assert compose(None, launched(calls)).tree == compose(None, given).tree


def test_a_mapping_is_written_to_a_file(parallel, calls, tmp_path):
    tunesmith.train(CONFIG, {"adapter.rank": 3}, catalog=parallel)
    (word,) = launched(calls)
    assert word.endswith("config.yaml") and calls.of("config")[0][1]["adapter"] == {"rank": 3}


@pytest.mark.parametrize(("code", "error"), [(75, Interrupted), (1, WorkersFailed), (137, WorkersFailed)])
def test_the_run_ends_as_its_processes_end(parallel, monkeypatch, code, error):
    monkeypatch.setattr(Two, "code", code)
    with pytest.raises(error) as raised:
        tunesmith.train(CONFIG, catalog=parallel)
    assert ("resume=true" in str(raised.value)) == (code == 75)
    assert getattr(raised.value, "code", code) == code


def test_problems_are_found_before_anything_is_started(parallel, calls):
    with pytest.raises(ConfigError, match="a run of several processes needs output_dir, which all of them share"):
        tunesmith.train({**CONFIG, "output_dir": None}, catalog=parallel)
    assert calls == []


def test_a_resumed_run_has_its_folder(parallel, calls, tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**CONFIG, "output_dir": None}))
    folder = tunesmith.train(tmp_path, ["resume=true"], catalog=parallel)
    assert folder == tmp_path and launched(calls) == [str(tmp_path), "resume=true"]


def test_in_a_process_that_was_started_the_run_trains(parallel, calls, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    tunesmith.train({**CONFIG, "data": {"train": [{"path": "a"}]}}, catalog=parallel)
    assert calls.of("place") == [("place", "model+lora", "model+lora")]
    assert calls.of("fit") == [("fit", "model+lora in two halves", False)] and not calls.of("launch")


def test_other_commands_launch_nothing(parallel, calls):
    tunesmith.plan(CONFIG, command="train", catalog=parallel)
    assert calls == []


@pytest.fixture
def command_line(parallel, monkeypatch):
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: parallel))
    return run_command_line


def test_the_command_line_ends_with_the_code_of_the_processes(command_line, calls, monkeypatch, capsys, tmp_path):
    """It adds nothing to what the failed process said; of one that was started, its parent tells the end."""
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CONFIG))
    assert command_line(["train", "c.yaml"]) == 0
    assert capsys.readouterr().out.startswith("done: runs/two")
    monkeypatch.setattr(Two, "code", 3)
    assert command_line(["train", "c.yaml"]) == 3
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(Two, "code", 75)
    assert command_line(["train", "c.yaml"]) == 75
    assert "interrupted. continue with: tunesmith train runs/two resume=true" in capsys.readouterr().err


def test_a_process_that_was_started_leaves_the_end_to_its_parent(command_line, calls, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**CONFIG, "data": {"train": [{"path": "a"}]}}))
    assert command_line(["train", "--launched", "c.yaml"]) == 0
    assert "done" not in capsys.readouterr().out
    monkeypatch.setattr(calls, "interrupted", True)
    assert command_line(["train", "--launched", "c.yaml", "overwrite=true"]) == 75
    assert "interrupted" not in capsys.readouterr().err


def test_quiet_is_passed_on(command_line, calls, tmp_path):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CONFIG))
    assert command_line(["--quiet", "train", "c.yaml"]) == 0
    ((_, command),) = calls.of("launch")
    assert command[3:5] == ["--quiet", "train"]


@pytest.mark.parametrize(
    ("traits", "environment", "expected"),
    [
        (None, {}, None),
        (ParallelTraits(processes=4), {}, 4),
        (ParallelTraits(processes=4), {"WORLD_SIZE": "8"}, 8),
    ],
)
def test_how_many_processes_there_will_be(parallel, monkeypatch, traits, environment, expected):
    """What a plugin's check asks; in a process that was started the environment knows."""
    if traits:
        monkeypatch.setattr(Two, "traits", traits, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tunesmith.plan(CONFIG, catalog=parallel)[0].processes == expected
    assert tunesmith.plan({**CONFIG, "parallel": None}, catalog=parallel)[0].processes == int(
        environment.get("WORLD_SIZE", "1")
    )


def test_one_process_needs_no_folder_of_its_own(parallel, calls, monkeypatch):
    monkeypatch.setattr(Two, "traits", ParallelTraits(processes=1), raising=False)
    assert tunesmith.train({**CONFIG, "output_dir": None}, catalog=parallel)
