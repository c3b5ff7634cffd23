"""The command: what it prints and writes, for a run, an exported model and a plain one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tunesmith
from click.testing import CliRunner
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith.types import DatasetSplits
from tunesmith_command_eval import Eval
from tunesmith_command_eval.results import rows_of
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.statistics import mean
from tunesmith_library_evaluating.writing import write
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
    written = json.loads((run / "eval" / "lengths" / "results.json").read_text(encoding="utf-8"))
    assert written["settings"] == {"counted": "tokens"} and written["evaluator"] == "lengths"
    assert written["model"]["path"] == str(tiny_llama) and written["model"]["folder"] == str(run)
    assert written["step"] is None
    assert written["metrics"]["given"]["tokens"]["standard_error"] == 0.125
    assert written["metrics"]["given"]["tokens"]["greater_is_better"] is True
    lines = (run / "eval" / "lengths" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1]
    assert not list(run.rglob(".*")), "something half written stayed"


def test_an_exported_model_is_measured_into_output_dir(invoke, tiny_llama, tmp_path):
    told = invoke(str(tiny_llama), f"output_dir={tmp_path / 'results'}").stdout
    assert f"done: {tmp_path / 'results' / 'eval' / 'lengths' / 'results.json'}" in told
    assert (tmp_path / "results" / "eval" / "lengths" / "samples.jsonl").is_file()
    assert not (tiny_llama / "eval").exists()


def test_a_plain_model_is_measured_and_nothing_is_written(invoke, tiny_llama, tmp_path):
    told = invoke(f"model.path={tiny_llama}").stderr
    assert "nothing is written; output_dir=FOLDER keeps the numbers" in told
    assert list(tmp_path.iterdir()) == []


def test_output_dir_that_is_a_file(invoke, tiny_llama, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file is no folder\.\nchoose another"):
        invoke(f"model.path={tiny_llama}", f"output_dir={tmp_path / 'file'}")


def test_numbers_of_the_table():
    found = Evaluation({"MMLU": {"accuracy": Measured(0.123456, None, 14042)}}, name="choices")
    assert rows_of([found]) == [("choices", "MMLU", "accuracy", "0.12346", "", "14,042")]


def test_the_function_gives_the_same_numbers(invoke, tiny_llama):
    overrides = {"model.path": str(tiny_llama), "evaluator": ["lengths"], "data.eval": ["a b", "c"]}
    (found,) = tunesmith.evaluate(None, overrides)
    assert found.name == "lengths" and found.metrics["given"]["tokens"].count == 2


def compare(*words):
    result = CliRunner().invoke(Eval().command(), ["compare", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def scores(values, **settings):
    records = [
        {
            "dataset": "sea",
            "index": at,
            "right": value,
            "prompt": [{"role": "user", "content": f"Question {at}?"}],
            "prediction": f"said {value}",
        }
        for at, value in enumerate(values)
    ]
    return Evaluation({"sea": {"right": mean(values), "corpus": Measured(0.5, 0.1)}}, records, settings, "quiz")


def test_two_runs_are_compared(tmp_path):
    for name, values, shots in (("a", [1.0, 0.0, 0.0, 1.0], 5), ("b", [1.0, 1.0, 1.0, 0.0], 0)):
        write(scores(values, shots=shots), tmp_path / name)
    told = compare(tmp_path / "a", tmp_path / "b", "--examples", "1")
    row = next(line.split() for line in told.splitlines() if " right " in line)
    assert row[:6] == ["quiz", "sea", "right", "0.5", "±", "0.29"] and row[-5:] == ["2", "/", "1", "/", "1"]
    assert "shots differs, which moves the numbers too: 5 in A, 0 in B" in told
    assert "by standard errors, not by pairs of examples: sea corpus" in told
    assert told.count("better in B") == told.count("worse in B") == 1
    assert "prompt: Question 1?\n  A: right 0  said 0.0\n  B: right 1  said 1.0" in told
    (found,) = json.loads(compare(tmp_path / "a", tmp_path / "b", "--json", "--evaluator", "quiz"))
    right = found["differences"][0]
    assert (right["difference"], right["num_better"], right["paired"]) == (0.25, 2, True)


def test_what_cannot_be_compared(tmp_path):
    write(scores([1.0, 0.0]), tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match=r"b holds no evaluation\.\nmeasure it: tunesmith eval"):
        compare(tmp_path / "a", tmp_path / "b")
    write(replace(scores([1.0, 0.0]), name="other"), tmp_path / "b")
    with pytest.raises(ConfigError, match="is not in both"):
        compare(tmp_path / "a", tmp_path / "b", "--evaluator", "quiz")


def test_a_run_beside_the_model_before_it(invoke, tiny_llama, tmp_path):
    """Each is loaded from its own place; the former's numbers stand beside the run's."""
    run = tmp_path / "runs" / "mine"
    shutil.copytree(tiny_llama, run)
    (run / "run.yaml").write_text(f"model: {{path: {tiny_llama}}}\n", encoding="utf-8")
    told = invoke(str(run), "--before").stdout
    assert told.splitlines()[0].split()[3:6] == ["metric", "before", "after"]
    written = json.loads((run / "eval" / "lengths" / "results.json").read_text(encoding="utf-8"))
    assert (written["model"]["folder"], written["before"]["model"]["folder"]) == (str(run), str(tiny_llama))
    assert written["before"]["metrics"] == written["metrics"]
    with pytest.raises(ConfigError, match=r"is no run: .*\nname a run's folder"):
        invoke(f"model.path={tiny_llama}", "--before")
