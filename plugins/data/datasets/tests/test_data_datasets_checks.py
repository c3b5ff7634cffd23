"""What is said before anything heavy is imported: registry, missing files, formats, columns, options."""

import json

import pytest
from tunesmith import DataError, hookimpl, plugin
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.checking import detect_format
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_testing.parts import StubPlan


@plugin
class Alpaca:
    """A format that needs two columns."""

    @hookimpl
    def to_rows(self, records, columns):
        for index, record in enumerate(records):
            if not {columns.get(name, name) for name in ("instruction", "output")} <= set(record):
                raise DataError(f"record {index}: alpaca needs two columns; map them with columns={{output: COLUMN}}")
            yield {"messages": []}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, record in {"alpaca.json": {"instruction": "a", "output": "b"}, "qa.json": {"q": "a", "a": "b"}}.items():
        (tmp_path / name).write_text(json.dumps([record]))
    return tmp_path


def check(*train, command="train", values=None, **options):
    entries = [Entry(**(item if isinstance(item, dict) else {"path": item})) for item in train]
    made = Datasets(train=entries, eval=[Entry(path=path) for path in options.pop("eval", ())], **options)
    plan = StubPlan({"data": {"datasets": made}, "format": {"alpaca": Alpaca()}}, command, values)
    made.requires()
    return made.check(plan=plan)


def one(*train, **options):
    (problem,) = check(*train, **options)
    return problem


def test_nothing_is_wrong():
    assert check("alpaca.json") == []
    assert check("./alp*.json") == []
    assert check({"path": "org/name", "format": "text"}) == []
    assert check(command="chat") == []


def test_folders(place):
    """The format is told by a file of the training split, not by what stands beside it."""
    for name, record in {"dataset_dict.json": {}, "test.json": {"q": "a"}, "train.json": {"text": "a"}}.items():
        (place / "set").mkdir(exist_ok=True)
        (place / "set" / name).write_text(json.dumps([record]))
    assert check("./set") == []
    assert one({"path": "./set", "split": "test"}).key == "data.train[0].format"
    (place / "deep" / "train").mkdir(parents=True)
    (place / "deep" / "train" / "a.json").write_text('[{"text": "a"}]')
    assert check("./deep") == []


def test_missing_files():
    problem = one("alpacca.json")
    assert problem.key == "data.train[0].path" and "did you mean alpaca.json?" in problem.advice
    assert "there is no folder nowhere" in one("nowhere/a.json").advice
    assert "files that can be read: .json" in one("./*.parquet").advice


def test_missing_folder_that_looks_like_a_hub_address(place):
    (place / "data" / "train").mkdir(parents=True)
    problem = one({"path": "data/trian", "format": "text"})
    assert "did you mean train?" in problem.advice and "huggingface://data/trian" in problem.advice


def test_no_training_data():
    assert one().key == "data.train"


def test_malformed_json(place):
    (place / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    assert "bad.jsonl, line 2: " in one("bad.jsonl").message
    (place / "empty.json").write_text("[]")
    assert "empty.json has no records" in one("empty.json").message


def test_wrong_columns(place):
    problem = one({"path": "qa.json", "format": "alpaca"})
    assert problem.key == "data.train[0].columns"
    assert "qa.json: record 0: alpaca needs two columns; map them with data.train[0].columns={" in problem.message
    (place / "text.json").write_text('[{"text": "a"}]')
    assert "look like text: data.train[0].format=text" in one({"path": "text.json", "format": "alpaca"}).advice
    assert check({"path": "qa.json", "format": "alpaca", "columns": {"instruction": "q", "output": "a"}}) == []


def test_mapped_column_that_is_not_there():
    problem = one({"path": "alpaca.json", "columns": {"system": "instrction"}})
    assert problem.severity == "warning" and "did you mean instruction?" in problem.advice


def test_unknown_format():
    problem = one("qa.json")
    assert problem.key == "data.train[0].format" and "found: q, a" in problem.message
    assert "installed: alpaca" in one("org/name").advice, "a data set on a hub cannot be looked at"


def test_registry(place):
    (place / "conf").mkdir()
    (place / "conf" / "datasets.yaml").write_text(
        "qa: {path: ../qa.json, format: alpaca, columns: {instruction: q, output: a}, max_samples: 5}\n"
        "short: ../alpaca.json\n"
        "wrong: {path: x, fromat: alpaca}\n"
    )
    assert check("qa", "short") == []
    assert "there is no other.yaml" in one("qa", registry="other.yaml").advice
    made = Datasets(train=[Entry(path="qa", max_samples=2)])
    (source,) = made._sources("train")
    assert source.name == "qa" and source.entry.max_samples == 2 and source.entry.format == "alpaca"
    assert "did you mean format?" in one("wrong").advice
    assert "did you mean short?" in one("shrot").advice
    (place / "conf" / "datasets.yaml").write_text("- a\n")
    assert one("qa").key == "data.registry"


def test_options():
    assert one("alpaca.json", val_size=-1.0).key == "data.val_size"
    assert one("alpaca.json", val_size=1.5).key == "data.val_size"
    assert one("alpaca.json", batch_size=0).key == "data.batch_size"
    assert one({"path": "alpaca.json", "max_samples": 0}).key == "data.train[0].max_samples"
    weighted = {"path": "alpaca.json", "weight": 2.0}
    assert "no meaning with data.mix=concat" in one(weighted).message
    assert check(weighted, mix="interleave_under") == []
    assert "named alpaca" in one("alpaca.json", eval=["alpaca.json", "./alpaca.json"]).message


def test_requirements():
    made = Datasets(
        train=[Entry(path="alpaca.json"), Entry(path="hf://org/name", format="openai"), Entry(path="gone.json")]
    )
    assert [(needed.kind, needed.name, needed.key) for needed in made.requires()] == [
        ("hub", "alpaca.json", "data.train[0].path"),
        ("format", "alpaca", "data.train[0].format"),
        ("hub", "hf://org/name", "data.train[1].path"),
        ("format", "openai", "data.train[1].format"),
        ("hub", "gone.json", "data.train[2].path"),
    ]


@pytest.mark.parametrize(
    ("record", "columns", "name"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, {}, "openai"),
        ({"messages": [{"from": "human", "value": "a"}]}, {}, "sharegpt"),
        ({"conversations": []}, {}, "sharegpt"),
        ({"instruction": "", "output": ""}, {}, "alpaca"),
        ({"q": "", "a": ""}, {"instruction": "q", "output": "a"}, "alpaca"),
        ({"q": "", "a": ""}, {"prompt": "q", "response": "a"}, "alpaca"),
        ({"prompt": "", "chosen": "", "rejected": ""}, {}, "openai"),
        ({"prompt": "", "completion": ""}, {}, "openai"),
        ({"text": "", "url": ""}, {}, "text"),
        ({"q": ""}, {}, None),
    ],
)
def test_detection(record, columns, name):
    assert detect_format(record, columns) == name
