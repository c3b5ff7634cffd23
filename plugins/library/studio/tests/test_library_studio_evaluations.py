"""Evaluations: the command lines that are asked for, results as they lie in folders, and their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.compose import compose
from tunesmith_library_configuration.records import MARKER
from tunesmith_library_studio.evaluations import Evaluations, Filter, Request
from tunesmith_library_studio.evaluations.requests import command_of, folder_of, plan_of
from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace


class Calls:
    """In the place of what starts processes."""

    def __init__(self, answer: str = "[]") -> None:
        self.started: list[tuple[str, list[str], dict[str, Any]]] = []
        self.called: list[list[str]] = []
        self._answer = answer

    def start(self, kind: str, command: Any, *, title: str, **more: Any) -> None:
        self.started.append((kind, list(command), {"title": title, **more}))

    def call(self, command: Any, timeout: float) -> str:
        self.called.append(list(command))
        return self._answer


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(Path("runs"), tmp_path / "root")
    (found.runs / "a b").mkdir(parents=True)
    (found.runs / "a b" / "run.yaml").write_text("seed: 1\n")
    (found.runs / "a b" / "checkpoint-2").mkdir()
    (found.root / "model").mkdir()
    return found


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def evaluations(workspace: Workspace, calls: Calls) -> Evaluations:
    return Evaluations(workspace, lambda: {"a b": workspace.runs / "a b"}, lambda: calls)


def measured(folder: Path, evaluator: str, step: int | None = None, value: float = 0.5) -> Path:
    """A result as `tunesmith eval` writes it, of two examples."""
    place = folder / "eval" / evaluator / (f"step-{step}" if step is not None else "")
    place.mkdir(parents=True, exist_ok=True)
    number = {"value": value, "standard_error": 0.5, "count": 2, "greater_is_better": True}
    told = {"evaluator": evaluator, "metrics": {"set": {"accuracy": number}}, "settings": {}, "model": {}, "step": step}
    (place / "results.json").write_text(json.dumps(told))
    records = [
        {"dataset": "set", "index": index, "accuracy": float(index % 2), "prompt": f"ask {index}", "answer": "好"}
        for index in range(30)
    ]
    (place / "samples.jsonl").write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records))
    return place


def test_requests_become_command_lines(workspace: Workspace) -> None:
    request = Request(
        "a b",
        {"perplexity": {}, "text_metrics": {"max_new_tokens": 5}},
        ["x.json", {"path": "y.json", "max_samples": 3}],
        {"name": "vllm"},
        ["template=qwen3"],
        before=True,
    )
    folder = str(workspace.runs / "a b")
    options = [
        "evaluator=[]",  # none of those that the run names
        'evaluator={"perplexity": {}, "text_metrics": {"max_new_tokens": 5}}',
        'engine={"name": "vllm"}',
        'data.eval=["x.json", {"path": "y.json", "max_samples": 3}]',
        "template=qwen3",
        f"output_dir={folder}",
    ]
    assert command_of(request, "eval", workspace) == ["eval", folder, *options, "--before"]
    assert plan_of(request, "eval", workspace) == ["plan", folder, *options, "--for", "eval", "--json"]
    assert command_of(request, "predict", workspace) == ["predict", folder, *options[2:], "--overwrite"]


def test_results_of_what_is_no_run_have_folders_of_their_own(workspace: Workspace) -> None:
    at = workspace.runs / "evaluations"
    assert folder_of(Request("runs/a b"), workspace) == workspace.runs / "a b"
    assert folder_of(Request("a b/checkpoint-2"), workspace) == at / "a-b-checkpoint-2"
    assert folder_of(Request("model"), workspace) == at / "model"
    assert folder_of(Request("Qwen/Qwen3-4B"), workspace) == at / "Qwen-Qwen3-4B"
    assert command_of(Request("Qwen/Qwen3-4B", {"perplexity": {}}), "eval", workspace)[1] == "model.path=Qwen/Qwen3-4B"


@pytest.mark.parametrize(
    "request_",
    [
        Request("/etc"),
        Request("../.."),
        Request(""),
        Request("--help"),
        Request("a b", data=["/etc/passwd"]),
        Request("a b", data=[{"path": "../../x"}]),
        Request("a b", {"function": {"function": "/etc/x.py:score"}}),
        Request("a b", overrides=["--debug"]),
        Request("a b", overrides=["output_dir=/etc"]),
        Request("a b", output="/etc"),
    ],
    ids=str,
)
def test_what_leads_elsewhere_is_refused(workspace: Workspace, request_: Request) -> None:
    with pytest.raises(TunesmithError):
        command_of(request_, "eval", workspace)


def test_an_evaluation_is_a_job(workspace: Workspace, evaluations: Evaluations, calls: Calls) -> None:
    evaluations.start(Request("a b", {"perplexity": {}}), "eval", ["0"])
    ((kind, command, more),) = calls.started
    assert (kind, command[0], more["run"], more["devices"]) == ("eval", "eval", "a b", ("0",))
    assert more["output"] == workspace.runs / "a b"
    with pytest.raises(TunesmithError, match="no evaluator"):
        evaluations.start(Request("a b"), "eval", [])


def test_the_newest_result_of_each_evaluator_counts(workspace: Workspace, evaluations: Evaluations) -> None:
    run = workspace.runs / "a b"
    measured(run, "steps", 2, value=0.25)
    measured(run, "steps", 10, value=0.75)
    measured(run, "both", 2)
    measured(run, "both", value=1.0)
    measured(workspace.runs / "evaluations" / "model", "steps")
    (run / "eval" / "broken").mkdir()
    (run / "eval" / "broken" / "results.json").write_text("{")
    told = {(each["of"], each["evaluator"]): each["step"] for each in evaluations.all()}
    assert told == {("a b", "steps"): 10, ("a b", "both"): None, ("a b", "broken"): None, ("model", "steps"): None}
    assert len(evaluations.all("a b", steps=True)) == 5
    numbers = evaluations.numbers(run)
    assert {name: parts["set"]["accuracy"]["value"] for name, parts in numbers.items()} == {"steps": 0.75, "both": 1.0}


def test_records_are_paged_filtered_and_sorted(workspace: Workspace, evaluations: Evaluations) -> None:
    place = measured(workspace.runs / "a b", "x")
    with (place / "samples.jsonl").open("a") as file:
        file.write("[]\n{half")
    folder = workspace.shown(place)
    page = evaluations.records(folder, Filter(offset=10, limit=5))
    assert (page["total"], page["metrics"], page["judged"]) == (30, ["accuracy"], ["accuracy"])
    assert [each["index"] for each in page["items"]] == [10, 11, 12, 13, 14]
    wrong = evaluations.records(folder, Filter(metric="accuracy", outcome="wrong", limit=100))
    assert [each["index"] for each in wrong["items"]] == list(range(0, 30, 2))
    best = evaluations.records(folder, Filter(metric="accuracy", sort="descending", limit=3))
    assert [each["index"] for each in best["items"]] == [1, 3, 5]
    assert [each["index"] for each in evaluations.records(folder, Filter(search="ASK 7 好"))["items"]] == [7, 17, 27]
    assert evaluations.records(folder, Filter(search="prompt"))["total"] == 0, "names of fields are not searched"
    with pytest.raises(TunesmithError, match="no record"):
        evaluations.records(folder, Filter(), before=True)
    with pytest.raises(OutsideWorkspace):
        evaluations.records("../..", Filter())


def test_a_loss_makes_no_record_right_or_wrong(workspace: Workspace, evaluations: Evaluations) -> None:
    place = measured(workspace.runs / "a b", "perplexity")
    text = "Die Flut kehrt zurück"
    records = [{"dataset": "s", "index": 0, "loss": 1.0}, {"dataset": "s", "index": 1, "loss": 2.5, "text": text}]
    (place / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    page = evaluations.records(workspace.shown(place), Filter(search="flut"))
    assert (page["total"], page["metrics"], page["judged"]) == (1, ["loss"], [])


def test_answers_are_read_from_files_of_answers_alone(workspace: Workspace, evaluations: Evaluations) -> None:
    file = workspace.runs / "a b" / "predictions.jsonl"
    file.write_text('{"dataset": "x", "prompt": "p", "answer": "a", "prediction": "b"}\n')
    (told,) = evaluations.predictions()
    assert (told["of"], told["size"]) == ("a b", file.stat().st_size)
    assert evaluations.answers(told["path"], Filter())["items"][0]["prediction"] == "b"
    with pytest.raises(TunesmithError, match="no file of predictions"):
        evaluations.file("runs/a b/run.yaml")


def test_two_results_are_compared_by_the_command(workspace: Workspace, evaluations: Evaluations, calls: Calls) -> None:
    measured(workspace.runs / "evaluations" / "model", "x")
    assert evaluations.compare("a b", "model", "x", 3) == []
    folders = [str(workspace.runs / "a b"), str(workspace.runs / "evaluations" / "model")]
    assert calls.called == [["eval", "compare", *folders, "--evaluator", "x", "--examples", "3", "--json"]]
    with pytest.raises(OutsideWorkspace):
        evaluations.compare("a b", "/etc", None, 3)


def test_a_run_without_a_result_is_no_model_yet(workspace: Workspace) -> None:
    evaluations = Evaluations(workspace, dict, lambda: Calls('{"problems": []}'))
    run = workspace.runs / "a b"
    (problem,) = evaluations.plan(Request("a b"), "eval")["problems"]
    assert problem["severity"] == "error" and problem["advice"] == "have it go on first"
    (run / "checkpoint-2" / MARKER).write_text("")
    (problem,) = evaluations.plan(Request("a b"), "eval")["problems"]
    assert "runs/a b/checkpoint-2" in problem["advice"]
    for model in ("a b/checkpoint-2", "model", "org/name"):
        assert evaluations.plan(Request(model), "eval")["problems"] == []
    (run / "adapter_config.json").write_text("{}")
    assert evaluations.plan(Request("a b"), "eval")["problems"] == []


def test_what_a_run_measured_itself_is_not_measured_beside_what_is_chosen(workspace: Workspace) -> None:
    run = workspace.runs / "a b"
    (run / "run.yaml").write_text("evaluator: {text_metrics: {max_new_tokens: 9}}\nmodel: {path: base}\n")
    said = command_of(Request("a b", {"perplexity": {}}), "eval", workspace)
    assert compose(run / "run.yaml", said[2:]).tree["evaluator"] == {"perplexity": {}}


def test_a_run_with_its_whole_model_is_planned_by_it(workspace: Workspace) -> None:
    run = workspace.runs / "a b"
    assert f"model.path={run}" not in plan_of(Request("a b", {"perplexity": {}}), "eval", workspace)
    (run / "config.json").write_text("{}")
    assert f"model.path={run}" in plan_of(Request("a b", {"perplexity": {}}), "eval", workspace)
    assert f"model.path={run}" not in command_of(Request("a b", {"perplexity": {}}), "eval", workspace)
