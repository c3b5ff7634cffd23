"""The command: what it prints and writes, for a run, an exported model and a plain one."""

import json
import math
import shutil
from pathlib import Path

import pytest
import tunesmith
from click.testing import CliRunner
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith.types import DatasetSplits
from tunesmith_command_eval import Eval
from tunesmith_command_eval.results import rows_of, write
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_testing import CommandSuite
from tunesmith_library_testing.parts import CHATML, load_plain


class TestEval(CommandSuite):
    plugin = Eval


@plugin
class Model:
    """transformers, plainly."""

    path: str  # of the model

    @hookimpl
    def resolve_precision(self, requested):
        return "fp32"

    @hookimpl
    def load_processor(self, source):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(source.path)

    @hookimpl
    def load_model(self, source):
        return load_plain(source.path)


@plugin
class Template:
    """ChatML."""

    @hookimpl
    def chat_template(self):
        return CHATML


@plugin
class Local:
    """Folders."""

    @hookimpl
    def fetch(self, address):
        return Path(address)


@plugin
class Data:
    """Texts as they stand in the configuration."""

    eval: list[str] = []  # texts

    @hookimpl
    def build_dataset(self, encode):
        columns = encode([{"text": text} for text in self.eval])
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return DatasetSplits([], {"given": rows})


@plugin
class Stage:
    """Reads texts."""

    @hookimpl
    def encode(self, rows, processor):
        return {"input_ids": [processor.encode(row["text"]) for row in rows]}

    @hookimpl
    def collate(self, examples):
        return {}

    @hookimpl
    def compute_loss(self, model, batch):
        raise AssertionError


@plugin
class Adapter:
    """Adds nothing."""

    @hookimpl
    def apply_adapter(self, model):
        return model

    @hookimpl
    def merge_adapter(self, model):
        return model


@plugin
class Lengths:
    """The mean number of tokens."""

    @hookimpl
    def evaluate(self, handle, data):
        records = [
            {"dataset": name, "index": index, "tokens": len(example["input_ids"])}
            for name, examples in data.examples().items()
            for index, example in enumerate(examples)
        ]
        vocabulary = float(handle.load().config.vocab_size)
        mean = sum(record["tokens"] for record in records) / len(records)
        metrics = {"tokens": Measured(mean, 0.125, len(records)), "vocabulary": Measured(vocabulary)}
        return Evaluation({"given": metrics}, records, {"counted": "tokens"})


@plugin
class Engine:
    """Is not opened."""

    @hookimpl
    def open_engine(self, handle):
        raise AssertionError


PLUGINS = {
    "model.transformers": Model,
    "template.auto": Template,
    "hub.local": Local,
    "data.datasets": Data,
    "stage.sft": Stage,
    "adapter.lora": Adapter,
    "engine.transformers": Engine,
    "evaluator.lengths": Lengths,
}


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: Catalog.of(PLUGINS)))

    def call(*words):
        result = CliRunner().invoke(Eval().command(), [*words, "evaluator=[lengths]", "data.eval=['a b', 'c']"])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_a_run_is_measured_into_its_folder(invoke, tiny_llama, tmp_path):
    run = tmp_path / "runs" / "mine"
    shutil.copytree(tiny_llama, run)
    (run / "run.yaml").write_text(f"model: {{path: {tiny_llama}}}\n", encoding="utf-8")
    words = [line.split() for line in invoke(str(run)).stdout.splitlines()]
    assert words[0] == ["evaluator", "data", "set", "metric", "value", "standard", "error", "examples"]
    assert words[1][:3] == ["lengths", "given", "tokens"] and words[1][4:] == ["0.12", "2"]
    written = json.loads((run / "evaluations.json").read_text(encoding="utf-8"))["lengths"]
    assert written["settings"] == {"counted": "tokens"}
    assert written["metrics"]["given"]["tokens"]["standard_error"] == 0.125
    assert written["metrics"]["given"]["tokens"]["greater_is_better"] is True
    lines = (run / "evaluations" / "lengths.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1]
    assert not list(run.glob(".*")), "something half written stayed"


def test_an_exported_model_is_measured_into_output_dir(invoke, tiny_llama, tmp_path):
    told = invoke(str(tiny_llama), f"output_dir={tmp_path / 'results'}").stdout
    assert f"done: {tmp_path / 'results' / 'evaluations.json'}" in told
    assert (tmp_path / "results" / "evaluations" / "lengths.jsonl").is_file()
    assert not (tiny_llama / "evaluations.json").exists()


def test_a_plain_model_is_measured_and_nothing_is_written(invoke, tiny_llama, tmp_path):
    told = invoke(f"model.path={tiny_llama}").stderr
    assert "nothing is written; output_dir=FOLDER keeps the numbers" in told
    assert list(tmp_path.iterdir()) == []


def test_output_dir_that_is_a_file(invoke, tiny_llama, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file is no folder\.\nchoose another"):
        invoke(f"model.path={tiny_llama}", f"output_dir={tmp_path / 'file'}")


def test_other_evaluations_stay(tmp_path):
    first, second = (Evaluation({"a": {"b": Measured(value)}}, name=name) for name, value in (("x", 1.0), ("y", 2.0)))
    write([first], tmp_path)
    target = write([second, Evaluation({"a": {"b": Measured(math.inf)}}, name="/home/me/mine.py:score")], tmp_path)
    values = {name: found["metrics"]["a"]["b"]["value"] for name, found in json.loads(target.read_text()).items()}
    assert values == {"x": 1.0, "y": 2.0, "mine.py_score": None}
    assert sorted(file.name for file in (tmp_path / "evaluations").iterdir()) == [
        "mine.py_score.jsonl",
        "x.jsonl",
        "y.jsonl",
    ]


def test_numbers_of_the_table():
    found = Evaluation({"MMLU": {"accuracy": Measured(0.123456, None, 14042)}}, name="choices")
    assert rows_of([found]) == [("choices", "MMLU", "accuracy", "0.12346", "", "14,042")]


def test_the_function_gives_the_same_numbers(invoke, tiny_llama):
    overrides = {"model.path": str(tiny_llama), "evaluator": ["lengths"], "data.eval": ["a b", "c"]}
    (found,) = tunesmith.evaluate(None, overrides)
    assert found.name == "lengths" and found.metrics["given"]["tokens"].count == 2
