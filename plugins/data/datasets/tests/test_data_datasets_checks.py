"""What is said before anything heavy is imported: registry, missing files, formats, columns, options."""

import json
import shlex
import sys
from types import SimpleNamespace

import pytest
from tunesmith import DataError, hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.traits import StageTraits
from tunesmith.validate import structured
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_data_datasets.suiting import unsuited
from tunesmith_library_testing.parts import StubPlan


@plugin
class Alpaca:
    """A format that needs two columns."""

    reads = "instruction, output"

    @staticmethod
    def looks_like(record):
        return "instruction" in record and "output" in record

    @hookimpl
    def to_rows(self, records, columns):
        for index, record in enumerate(records):
            if not {columns.get(name, name) for name in ("instruction", "output")} <= set(record):
                raise DataError(f"record {index}: alpaca needs two columns; map them with columns={{output: COLUMN}}")
            yield {"messages": []}


@plugin
class Text:
    """Plain text."""

    @staticmethod
    def looks_like(record):
        return "text" in record

    @hookimpl
    def to_rows(self, records, columns):
        return iter(records)


FORMATS = Catalog.of({"format.alpaca": Alpaca, "format.text": Text})


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, record in {"alpaca.json": {"instruction": "a", "output": "b"}, "qa.json": {"q": "a", "a": "b"}}.items():
        (tmp_path / name).write_text(json.dumps([record]))
    return tmp_path


def check(*train, command="train", values=None, formats=FORMATS, **options):
    entries = [Entry(**(item if isinstance(item, dict) else {"path": item})) for item in train]
    made = Datasets(train=entries, eval=[Entry(path=path) for path in options.pop("eval", ())], **options)
    named = {need.name for need in made.requires(installed=formats.classes) if need.kind == "format"}
    selected = {name: cls() for name, cls in formats.classes("format").items() if name in named}
    plan = StubPlan({"data": {"datasets": made}, "format": selected}, command, values, formats)
    return made.check(plan=plan)


def one(*train, **options):
    (problem,) = check(*train, **options)
    return problem


def test_nothing_is_wrong():
    assert check("alpaca.json") == []
    assert check("./alp*.json") == []
    assert check({"path": "org/name", "format": "text"}) == []
    assert check(command="chat") == []


def test_columns_to_keep(place):
    known = one({"path": "qa.json", "format": "text", "keep": ["a", "vot"]})
    assert (known.key, known.severity) == ("data.train[0].keep", "warning") and "no column vot" in known.message
    (place / "own.jsonl").write_text('{"text": "a", "b": 1}')
    own = one({"path": "own.jsonl", "keep": ["b", "text"]})
    assert own.message.startswith("data.train[0].keep: text is what a row")


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


def test_what_is_there_and_holds_no_data(place):
    (place / "alpaca2.json").mkdir()
    advice = one("alpaca2.json").advice
    assert "in alpaca2.json: nothing to read\nalpaca2.json is a folder without data" in advice
    assert "did you mean" not in advice, "the path is right"
    (place / "link.json").symlink_to("gone.json")
    assert "link.json is a link to gone.json, where nothing is" in one("link.json").advice


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
    assert check("org/name") == [], "a data set on a hub cannot be looked at before it is there"
    for said in (problem.advice,):
        assert said.endswith("what each installed format reads:\n  alpaca  instruction, output\n  text    Plain text.")
    assert "(none is installed)" in one("qa.json", formats=Catalog.of({})).advice


RECORDS = [{"instruction": f"a{n}", "output": f"b{n}"} for n in range(3)]
UNKNOWN = [{"q": f"a{n}", "a": f"b{n}"} for n in range(3)]


@pytest.mark.parametrize(
    ("records", "content", "said"),
    [
        (RECORDS, {"data": RECORDS}, "one mapping, whose `data` is a list of 3 mappings, which are its records"),
        (RECORDS, {"version": "1", "sets": {"train": RECORDS}}, "whose `sets.train` is a list of 3 mappings"),
        (RECORDS, {record["output"]: record for record in RECORDS}, "one mapping of 3 mappings by names"),
        (UNKNOWN, {k: [r[k] for r in UNKNOWN] for k in "qa"}, "one mapping of 2 columns with 3 values each"),
        (UNKNOWN, {k: {str(n): r[k] for n, r in enumerate(UNKNOWN)} for k in "qa"}, "2 columns with 3 values each"),
    ],
)
def test_records_inside_of_one_value(place, monkeypatch, records, content, said):
    """The command that is advised writes the records, whether a format was told or not."""
    (place / "in side.json").write_text(json.dumps(content))
    for format in ("auto", "alpaca"):
        problem = one({"path": "in side.json", "format": format})
        assert said in problem.message and "COLUMN" not in f"{problem.message}{problem.advice}"
        program, source, target = shlex.split(problem.advice.partition("python -c ")[2])
        monkeypatch.setattr(sys, "argv", ["-c", source, target])
        exec(program, {})
        assert json.loads((place / target).read_text()) == records


def test_formats_that_a_record_looks_like_equally_much(place):
    (place / "both.json").write_text('[{"text": "a", "instruction": "b", "output": "c"}]')
    assert check("both.json") == []
    alike = Catalog.of({"format.alpaca": Alpaca, "format.mine": Alpaca})
    problem = one("alpaca.json", formats=alike)
    assert (problem.key, problem.severity) == ("data.train[0].format", "warning")
    assert "alpaca (instruction, output) and mine (instruction, output); alpaca is taken" in problem.message
    assert problem.advice == "write data.train[0].format=alpaca or data.train[0].format=mine"
    assert check({"path": "alpaca.json", "format": "mine"}, formats=alike) == []


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
    assert str(one("qa").key) == "data.registry"
    lines = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (place / "conf" / "datasets.yaml").write_text(f"a0: &a0 [x]\n{lines}")
    assert "stands for more than 100,000 values" in one("qa").message
    (place / "conf" / "datasets.yaml").write_text("qa:\n  path: qa.json\n  split: 0123\n  max_samples: -1\n")
    wrong = one("qa")
    assert "qa.max_samples cannot be -1." in wrong.message and "datasets.yaml:4" in wrong.advice
    (place / "conf" / "datasets.yaml").write_text("qa:\n  path: qa.json\n  split: 0123\n")
    assert Datasets(train=[Entry(path="qa")])._sources("train")[0].entry.split == "0123"
    assert "there is no file nowhere.yaml" in one("alpaca.json", registry="nowhere.yaml").message


def test_the_registry_among_the_installed_recipes(place, monkeypatch):
    """Recipes name their data sets outside a checkout too."""
    (place / "installed").mkdir()
    (place / "installed" / "datasets.yaml").write_text("qa: {path: qa.json, format: alpaca, columns: {output: a}}\n")
    monkeypatch.setattr("tunesmith_library_configuration.recipes.recipe_folders", lambda: [place / "installed"])
    (source,) = Datasets(train=[Entry(path="qa")])._sources("train")
    assert source.name == "qa" and source.entry.columns == {"output": "a"}


def test_options():
    assert one("alpaca.json", val_size=1.5).key == "data.val_size"
    weighted = {"path": "alpaca.json", "weight": 2.0}
    assert "no meaning with data.mix=concat" in one(weighted).message
    assert check(weighted, mix="interleave_under") == []
    assert "named alpaca" in one("alpaca.json", eval=["alpaca.json", "./alpaca.json"]).message


def test_numbers_out_of_their_range():
    entry = {"path": "a.json", "max_samples": 0, "weight": 0.0}
    values = {"train": [entry], "val_size": -0.1, "batch_size": 0, "num_proc": 0, "shuffle_buffer": 0, "max_samples": 0}
    _, problems = structured(Datasets, values, ("data",), "data=datasets")
    wrong = {str(problem.key).removeprefix("data.") for problem in problems}
    assert wrong == {*values, "train[0].max_samples", "train[0].weight"} - {"train"}


def test_requirements():
    made = Datasets(
        train=[Entry(path="alpaca.json"), Entry(path="hf://org/name", format="openai"), Entry(path="gone.json")]
    )
    assert [(needed.kind, needed.name, needed.key) for needed in made.requires(installed=FORMATS.classes)] == [
        ("hub", "alpaca.json", "data.train[0].path"),
        ("format", "alpaca", "data.train[0].format"),
        ("hub", "hf://org/name", "data.train[1].path"),
        ("format", "openai", "data.train[1].format"),
        ("hub", "gone.json", "data.train[2].path"),
    ]


def test_a_format_is_told_by_the_process_that_trains(monkeypatch, caplog):
    """Not by the one that only starts it; the choice is theirs alike."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for launched in (False, True):
        made = Datasets(train=[Entry(path="alpaca.json")])
        plan = StubPlan({"data": {"datasets": made}, "parallel": {"ddp": None}}, catalog=FORMATS)
        if launched:
            monkeypatch.setenv("WORLD_SIZE", "2")
        with caplog.at_level("INFO"):
            made.configured(plan=plan)
        assert list(made._formats.values()) == ["alpaca"]
        assert ("data.train[0].format: alpaca" in caplog.text) is launched


class Chats:
    """A stage that learns from conversations."""

    traits = StageTraits(reads=("messages",))


@pytest.mark.parametrize("command, found", [("train", 1), ("encode", 1), ("eval", 0)])
def test_rows_of_which_the_stage_reads_none_are_a_problem_of_the_plan(tmp_path, command, found):
    source = Source("data.train[0]", "news", Entry(path=str(tmp_path / "news.csv")))
    plan = SimpleNamespace(
        command=command,
        traits=lambda kind: Chats.traits,
        name=lambda kind: "chats",
        installed=lambda kind: {"chats": Chats},
    )
    rows = [{"text": "I paid twice."}]
    problems = list(unsuited(source, rows, tmp_path / "news.csv", plan))
    assert len(problems) == found
    assert all("stage.chats needs rows with `messages`; these have text." in problem.message for problem in problems)
    assert all("output: COLUMN" in problem.advice for problem in problems)
    assert not list(unsuited(source, [*rows, {"messages": []}], tmp_path / "news.csv", plan)), "the run names the first"
    assert not list(unsuited(source, [{"prompt": []}], tmp_path / "news.csv", plan)), "it is counted in the run"
