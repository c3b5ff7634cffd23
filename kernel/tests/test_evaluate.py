"""Measuring a model: what evaluators are called with, and when it is made."""

import json
from pathlib import Path

import pytest
import tunesmith
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith.types import DatasetSplits
from tunesmith_library_evaluating import Evaluation, Measured

CONFIG = {"model": {"path": "org/tiny"}}


@plugin
class Data:
    """Two rows of different shapes."""

    train: list[str] = []  # files to learn from

    @hookimpl
    def build_dataset(self, to_rows, encode):
        self.calls.append(("build_dataset", encode.fingerprint == "rows"))
        columns = encode([{"text": "a"}, {"prompt": [{"role": "user", "content": "你"}]}])
        names = list(columns)
        examples = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return DatasetSplits(train=[], eval={"held": examples})


@plugin
class Engine:
    """Can be opened and closed."""

    @hookimpl
    def open_engine(self, handle):
        self.calls.append(("open_engine", handle.load()))
        return self

    def close(self):
        self.calls.append(("close",))


@plugin
class Reads:
    """Asks for everything that there is."""

    shots: int = 0  # examples in the prompt

    @hookimpl
    def evaluate(self, handle, chat, data):
        self.calls.append(("evaluate", handle.load(), handle.load() is handle.load()))
        assert chat.engine is chat.engine
        assert data.rows() is data.rows()
        records = [{"dataset": "held", "index": index} for index in range(len(data.rows()["held"]))]
        metrics = {"held": {"examples": Measured(len(data.examples()["held"]), count=2)}}
        return Evaluation(metrics, records, {"shots": self.shots, "rows": data.rows()["held"]})


@plugin
class Idle:
    """Needs nothing."""

    @hookimpl
    def evaluate(self):
        return Evaluation({"": {"zero": Measured(0.0, 0.0)}})


@pytest.fixture
def catalog(plugins, calls, monkeypatch):
    own = {"data.datasets": Data, "engine.transformers": Engine, "evaluator.reads": Reads, "evaluator.idle": Idle}
    for cls in own.values():
        monkeypatch.setattr(cls, "calls", calls, raising=False)
    return Catalog.of({**plugins, **own})


def test_evaluators_are_called_in_the_order_of_the_configuration(catalog, calls):
    found = tunesmith.evaluate(CONFIG, {"evaluator": ["reads", "idle"], "evaluator.reads.shots": 5}, catalog=catalog)
    assert [evaluation.name for evaluation in found] == ["reads", "idle"]
    reads, idle = found
    assert reads.metrics["held"]["examples"] == Measured(2, count=2)
    assert reads.records[1] == {"dataset": "held", "index": 1}
    assert reads.settings["shots"] == 5
    assert idle.metrics[""]["zero"].standard_error == 0.0


def test_rows_arrive_as_they_were_whatever_their_shape(catalog):
    (found,) = tunesmith.evaluate(CONFIG, {"evaluator": "reads"}, catalog=catalog)
    assert found.settings["rows"] == [{"text": "a"}, {"prompt": [{"role": "user", "content": "你"}]}]


def test_model_and_data_are_made_once_and_only_when_asked_for(catalog, calls):
    tunesmith.evaluate(CONFIG, {"evaluator": "idle"}, catalog=catalog)
    assert not {"load_model", "build_dataset", "open_engine"} & set(calls.names())
    calls.clear()
    tunesmith.evaluate(CONFIG, {"evaluator": ["reads", "reads2"]}, catalog=with_second(catalog))
    assert calls.names().count("load_model") == 1
    assert calls.of("build_dataset") == [("build_dataset", True), ("build_dataset", False)]
    assert calls.of("open_engine") == [("open_engine", "model")]
    assert calls.names()[-1] == "close"


def with_second(catalog):
    return Catalog.of({entry.address: entry.load() for entry in catalog.entries()} | {"evaluator.reads2": Reads})


def test_engine_is_closed_when_an_evaluator_fails(catalog, calls, monkeypatch):
    def fail(self, chat):
        assert chat.engine
        raise OSError("no space left on device")

    monkeypatch.setattr(Idle, "evaluate", hookimpl(fail))
    with pytest.raises(OSError, match="no space"):
        tunesmith.evaluate(CONFIG, {"evaluator": "idle"}, catalog=catalog)
    assert calls.names()[-1] == "close"


def test_a_trained_run_is_measured_with_its_adapter(catalog, calls):
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("model: {path: org/tiny}\nevaluator: [reads]\n", encoding="utf-8")
    (folder / "adapter_config.json").write_text(json.dumps({}), encoding="utf-8")
    tunesmith.evaluate(folder, catalog=catalog)
    assert calls.of("evaluate") == [("evaluate", "model+lora", True)]


def test_without_an_evaluator_it_says_what_there_is(catalog):
    with pytest.raises(ConfigError, match=r"nothing is selected to measure with\.\ninstalled: idle, reads\n"):
        tunesmith.evaluate(CONFIG, catalog=catalog)


def test_a_plugin_without_the_hook_is_refused(catalog):
    @plugin
    class Silent:
        """Measures nothing."""

    silent = Catalog.of({entry.address: entry.load() for entry in catalog.entries()} | {"evaluator.silent": Silent})
    with pytest.raises(ConfigError, match=r"nothing implements evaluate: evaluator\.silent"):
        tunesmith.evaluate(CONFIG, {"evaluator": "silent"}, catalog=silent)


def test_a_function_in_a_file_is_an_evaluator(catalog):
    Path("mine.py").write_text(
        "from tunesmith_library_evaluating import Evaluation, Measured\n\n"
        "def rows(data):\n"
        "    return Evaluation({name: {'rows': Measured(len(rows))} for name, rows in data.rows().items()})\n",
        encoding="utf-8",
    )
    (found,) = tunesmith.evaluate(CONFIG, {"evaluator": ["mine.py:rows"]}, catalog=catalog)
    assert found.metrics == {"held": {"rows": Measured(2)}} and found.name.endswith("mine.py:rows")


def test_a_plan_of_training_keeps_evaluators_for_later(catalog):
    plan, problems = tunesmith.plan(CONFIG, {"evaluator": ["reads"]}, catalog=catalog)
    assert problems == [] and not plan.uses("evaluator")
    assert plan.get("evaluator") == {"reads": {}}


def test_a_model_in_training_is_measured_by_the_same_evaluators(catalog, calls, monkeypatch):
    """The loop gives its model; the training's examples are taken, and rows are read once for all evaluations."""
    seen = []

    def fit(self, job):
        seen.extend(job.evaluate(f"model after step {step}") for step in (1, 2))
        return True

    trainer = next(entry.load() for entry in catalog.entries() if entry.kind == "trainer")
    monkeypatch.setattr(trainer, "fit", hookimpl(fit))
    tunesmith.train(CONFIG, {"evaluator": ["reads"], "data.train": ["x"], "output_dir": "out"}, catalog=catalog)
    assert [call[1] for call in calls.of("evaluate")] == ["model after step 1", "model after step 2"]
    assert [call[1] for call in calls.of("open_engine")] == ["model after step 1", "model after step 2"]
    assert calls.names().count("close") == 2 and calls.names().count("load_model") == 1
    assert calls.of("build_dataset") == [("build_dataset", False), ("build_dataset", True)]
    assert [found[0].metrics["held"]["examples"].value for found in seen] == [2, 2]


def test_training_without_evaluators_measures_nothing(catalog, calls, monkeypatch):
    trainer = next(entry.load() for entry in catalog.entries() if entry.kind == "trainer")
    monkeypatch.setattr(trainer, "fit", hookimpl(lambda self, job: job.evaluate is None))
    tunesmith.train(CONFIG, {"data.train": ["x"], "output_dir": "out"}, catalog=catalog)


def test_wrong_options_of_an_evaluator_are_found_before_the_training(catalog, calls):
    with pytest.raises(ConfigError, match="shtos"):
        tunesmith.train(CONFIG, {"evaluator.reads.shtos": 5, "data.train": ["x"]}, catalog=catalog)
    assert "load_model" not in calls.names() and not Path("runs").exists()
