"""Evaluators are called one after the other on a model that is loaded once, with data that is read when asked for."""

import json
from pathlib import Path
from types import SimpleNamespace

from tunesmith.types import DatasetSplits, ModelHandle
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.measuring import evaluations
from tunesmith_library_testing.parts import source_of

ROWS = [{"text": "a"}, {"prompt": "Frage", "answer": "ü"}]


class Run:
    """What an assembly gives, without plugins."""

    fetch = to_rows = None
    plan = SimpleNamespace(names=lambda kind: ["counts", "reads"], name=lambda kind: "plain")

    def __init__(self):
        self.read = 0
        self.hook = SimpleNamespace(build_dataset=self.build_dataset, open_engine=None)

    def build_dataset(self, fetch, to_rows, encode):
        self.read += 1
        return DatasetSplits(train=[], eval={"held": [{"row": text} for text in encode(ROWS)["row"]]})

    def routed(self, hook, name):
        return getattr(self, f"_{name}")

    def _counts(self, handle, chat, data):
        return Evaluation({"all": {"parameters": Measured(handle.load())}})

    def _reads(self, handle, chat, data):
        assert data.rows() is data.rows() and data.examples() is data.examples()
        assert data.rows() == {"held": ROWS}
        return Evaluation({"held": {"count": Measured(len(data.examples()["held"]) + handle.load())}})


def test_model_and_data_are_made_once():
    made = []

    def once(what, value):
        made.append(what)
        return value

    handle = ModelHandle(source_of(Path("sea")), None, None, None, load=lambda: once("model", 7), merge=None)
    run = Run()
    found = evaluations(run, handle, lambda: once("examples", {"held": [1, 2]}))
    assert [evaluation.name for evaluation in found] == ["counts", "reads"]
    assert found[0].metrics["all"]["parameters"].value == 7 and found[1].metrics["held"]["count"].value == 9
    model = {"path": "sea", "adapter": None, "folder": "sea", "precision": "fp32", "engine": "plain"}
    assert [evaluation.model for evaluation in found] == [model] * 2
    assert (made, run.read) == (["model", "examples"], 1)
    assert json.dumps(found[0].settings) == "{}"
