"""Exports: what a wish becomes on the command line, and how what was written is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_studio import Workspace
from tunesmith_library_studio.exports import Exports, Wanted
from tunesmith_library_studio.exports.reports import checks, figures
from tunesmith_library_studio.exports.results import next_steps, parts_of, told
from tunesmith_library_studio.models import Models
from tunesmith_library_studio.workspace import OutsideWorkspace

REPORT: dict[str, Any] = {
    "format": "gptq",
    "program": "transformers 5.0",
    "figures": {
        "largest": 0.5,
        "same_choice": 0.98,
        "divergence": 0.01,
        "perplexity_before": 3.0,
        "perplexity_after": 3.1,
    },
    "limits": {"divergence": 0.05, "worse": 1.1},
    "base_in_this_format": {"divergence": 0.02},
    "stages": {"merging": {"largest": 1e-7, "same_choice": 1.0, "limits": {"largest": 0.001}}},
    "tensors": {"held": 21, "changed": 14, "lost": ["model.norm.weight"]},
    "text": {"equal": True},
    "files": {"problems": ["README.md is missing"], "known": 3},
    "compared_on": {"conversations": 8, "tokens": 300, "origin": "the run's data"},
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(Path("runs"), tmp_path)
    (made.runs / "qwen3" / "checkpoint-8").mkdir(parents=True)
    return made


def test_a_wish_as_a_command(workspace: Workspace) -> None:
    exporters: dict[str, dict[str, Any]] = {"merged": {"dtype": "bfloat16"}, "gguf": {"type": ["q8_0", "f16"]}}
    wanted = Wanted("runs/qwen3", exporters, {"quantizer": None}).checked(workspace)
    assert wanted.line(workspace) == (
        "tunesmith export runs/qwen3 'exporter=[merged, gguf]' quantizer=null exporter.merged.dtype=bfloat16 "
        "'exporter.gguf.type=[q8_0, f16]' --output runs/qwen3-exported"
    )
    one = Wanted("runs/qwen3/checkpoint-8", {"merged": {}}).checked(workspace)
    assert one.command(workspace) == [
        *("export", "runs/qwen3/checkpoint-8", "exporter=merged"),
        *("--output", "runs/qwen3-checkpoint-8-merged"),
    ]
    named = Wanted("Qwen/Qwen3-4B", {"acme:mine": {}}, output="out/x").checked(workspace)
    assert named.command(workspace)[1:] == ["model.path=Qwen/Qwen3-4B", "exporter=acme:mine", "--output", "out/x"]


def test_folders_that_are_taken_are_not_chosen(workspace: Workspace) -> None:
    (workspace.runs / "qwen3-merged").mkdir()
    assert Wanted("runs/qwen3", {"merged": {}}).checked(workspace).output == "runs/qwen3-merged-2"


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("/etc", {"merged": {}}),
        Wanted("runs/../../x", {"merged": {}}),
        Wanted("runs/qwen3", {"merged": {}}, output="../out"),
        Wanted("runs/qwen3", {"gguf": {"converter": "/etc"}}),
        Wanted("runs/qwen3", {"merged": {}}, {"model.path": "/etc"}),
    ],
)
def test_paths_stay_in_the_workspace(workspace: Workspace, wanted: Wanted) -> None:
    with pytest.raises(OutsideWorkspace):
        wanted.checked(workspace)


def test_files_are_no_exporters(workspace: Workspace) -> None:
    for name in ("mine.py", "mine.py:Mine", "a=b", "", "--output"):
        with pytest.raises(TunesmithError, match="no name of an exporter"):
            Wanted("runs/qwen3", {name: {}}).checked(workspace)
    with pytest.raises(TunesmithError, match="no exporter is chosen"):
        Wanted("runs/qwen3", {}).checked(workspace)


def test_a_report_as_rows() -> None:
    rows = {(row["step"], row["figure"]): row for row in figures(REPORT)}
    assert rows["", "divergence"] == {"step": "", "figure": "divergence", "value": 0.01, "limit": 0.05, "base": 0.02}
    assert rows["", "perplexity_after"]["before"] == 3.0 and rows["", "perplexity_after"]["limit"] == 1.1
    assert "limit" not in rows["", "same_choice"] and rows["merging", "largest"]["limit"] == 0.001
    found = {check["check"]: check for check in checks(REPORT)}
    assert found.keys() == {"tensors", "text", "files"} and found["text"]["equal"]
    assert not found["tensors"]["equal"] and found["tensors"]["problems"] == ["lost: model.norm.weight"]
    assert found["files"] == {
        **found["files"],
        "equal": False,
        "problems": ["README.md is missing"],
        "facts": {"known": 3},
    }
    several = {"format": "gguf", "files": {"a.gguf": {"figures": {"divergence": 0.1}, "limits": {}}}}
    assert figures(several) == [{"step": "", "file": "a.gguf", "figure": "divergence", "value": 0.1}]


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (("config.json", "model.safetensors"), ["chat", "serve", "vllm", "upload"]),
        (("adapter_config.json", "adapter_model.safetensors"), ["chat", "serve", "upload"]),
        (("m-q8_0.gguf",), ["chat", "serve", "llamacpp", "upload"]),
        (("m.gguf", "Modelfile"), ["chat", "serve", "ollama", "upload"]),
        (("model.onnx",), ["upload"]),
    ],
)
def test_what_one_does_next(tmp_path: Path, files: tuple[str, ...], steps: list[str]) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    for name in files:
        (folder / name).write_text('{"base_model_name_or_path": "org/base"}')
    commands = dict(next_steps(folder, "runs/my model"))
    assert list(commands) == steps and all("'runs/my model" in command for command in commands.values())
    assert commands["upload"].startswith("hf upload YOUR_NAME/my-model 'runs/my model'")
    if "adapter_config.json" in files:
        assert commands["serve"].startswith("vllm serve org/base --enable-lora")


def test_the_file_that_reads_pictures_goes_with_the_model(tmp_path: Path) -> None:
    for name in ("a-mmproj-F16.gguf", "model-Q8_0.gguf"):
        (tmp_path / name).touch()
    command = dict(next_steps(tmp_path, "x"))["llamacpp"]
    assert command == "llama-server -m x/model-Q8_0.gguf --mmproj x/a-mmproj-F16.gguf"


def test_an_artefact_is_told(tmp_path: Path) -> None:
    for part in ("gptq", "adapter"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "export_report.json").write_text(json.dumps({**REPORT, "format": part}))
    assert [folder.name for folder in parts_of(tmp_path)] == ["adapter", "gptq"]
    one = told(tmp_path / "gptq", "exports/gptq")
    assert one["proven"] and one["format"] == "gptq" and one["files"][0]["name"] == "export_report.json"
    (tmp_path / "gptq" / "export_report.json").write_text("{")
    assert not told(tmp_path / "gptq", "x")["proven"]
    (tmp_path / "plain").mkdir()
    assert parts_of(tmp_path / "plain") == [tmp_path / "plain"]


class Pretending:
    """Stands for the process that plans, and for the jobs."""

    process = property(lambda self: self)

    def ask(self, do: str, client: str, **asked: Any) -> dict[str, Any]:
        return {"problems": [], "asked": {"do": do, "client": client, **asked}}

    def start(self, kind: str, command: list[str], **more: Any) -> dict[str, Any]:
        return {"kind": kind, "command": command, **more}


def test_plans_and_jobs_say_the_same(workspace: Workspace) -> None:
    pretending: Any = Pretending()
    exports = Exports(workspace, pretending, Models(workspace), pretending)
    wanted = Wanted("runs/qwen3", {"merged": {"verify": False}}, output="runs/out")
    plan = exports.plan(wanted, "me")
    job: Any = exports.start(wanted, ["cpu"])
    assert plan["asked"]["source"] == "runs/qwen3" and plan["asked"]["client"] == "me" and not plan["problems"]
    assert job["command"][2:-2] == plan["asked"]["changes"] == ["exporter=merged", "exporter.merged.verify=false"]
    assert job["output"] == workspace.runs / "out" and job["devices"] == ["cpu"]
    (workspace.runs / "out").mkdir()
    (problem,) = exports.plan(wanted)["problems"]
    assert problem["key"] == "output" and "runs/out is there already" in problem["message"]
