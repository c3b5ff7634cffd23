"""LLaMA-Factory's `dataset_info.json` as a registry: what each key of it becomes, and where it is found."""

import json
from types import SimpleNamespace

import pytest
from tunesmith_data_datasets.checking import problems_of
from tunesmith_data_datasets.entries import Entry, read_registry, resolve
from tunesmith_format_alpaca import Alpaca
from tunesmith_format_sharegpt import ShareGPT
from tunesmith_library_formats.dataset_info import by_default, is_dataset_info, sets_in, translate, unread

INFO = {
    "identity": {"file_name": "identity.json"},
    "talks": {
        "file_name": "talks.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "dialog", "tools": None},
        "tags": {"user_tag": "Q"},
        "num_samples": 7,
    },
    "pairs": {"hf_hub_url": "org/pairs", "ms_hub_url": "ms/pairs", "ranking": True, "subset": "en", "split": "test"},
    "cloud": {"cloud_file_name": "gcs://bucket/a.jsonl", "formatting": "openai", "columns": {"messages": "m"}},
    "texts": {"hf_hub_url": "org/texts", "folder": "zh", "columns": {"prompt": "content"}},
    "scripted": {"script_url": "belle"},
    "odd": {"file_name": "odd.json", "colums": {}},
    "below": {"file_name": "sub/pictures.json"},
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for variable in ("USE_MODELSCOPE_HUB", "USE_OPENMIND_HUB"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(INFO))
    (tmp_path / "data" / "identity.json").write_text("[]")
    return tmp_path


def entry_of(path, registry="data/dataset_info.json", **options):
    source, problems = resolve(Entry(path=path, **options), "data.train[0]", read_registry(registry), registry)
    return source, problems


def values(entry):
    return {name: value for name, value in vars(entry).items() if value != getattr(Entry(path=""), name)}


def test_entries():
    expected = {
        "identity": {
            "path": "data/identity.json",
            "format": "alpaca",
            "columns": {"prompt": "instruction", "query": "input", "response": "output", "*": ""},
        },
        "below": {
            "path": "data/sub/pictures.json",
            "format": "alpaca",
            "media_dir": "data",  # of the file that names it, not of the data
            "columns": {"prompt": "instruction", "query": "input", "response": "output", "*": ""},
        },
        "talks": {
            "path": "data/talks.jsonl",
            "format": "sharegpt",
            "columns": {"messages": "dialog", "*": ""},
            "tags": {"user_tag": "Q"},
            "samples": 7,
        },
        "pairs": {
            **{"path": "huggingface://datasets/org/pairs", "format": "alpaca", "subset": "en", "split": "test"},
            "columns": {
                **{"prompt": "instruction", "query": "input", "response": "output", "*": ""},
                **{"chosen": "chosen", "rejected": "rejected"},
            },
        },
        "cloud": {"path": "gs://bucket/a.jsonl", "format": "openai", "columns": {"messages": "m", "*": ""}},
        "texts": {"path": "huggingface://datasets/org/texts/zh", "format": "text", "columns": {"prompt": "content"}},
    }
    for name, wanted in expected.items():
        source, problems = entry_of(name)
        assert (values(source.entry), problems, source.name) == (wanted, [], name)
    source, _ = entry_of("talks", split="test", max_samples=3)
    assert (source.entry.split, source.entry.max_samples) == ("test", 3), "what a configuration says wins"


@pytest.mark.parametrize(
    ("variable", "keys", "path"),
    [
        ("USE_MODELSCOPE_HUB", ("hf_hub_url", "ms_hub_url"), "modelscope://datasets/org/ms_hub_url"),
        ("USE_OPENMIND_HUB", ("hf_hub_url", "om_hub_url"), "modelers://datasets/org/om_hub_url"),
        ("USE_OPENMIND_HUB", ("hf_hub_url", "ms_hub_url"), "huggingface://datasets/org/hf_hub_url"),
        ("NOTHING", ("ms_hub_url", "om_hub_url"), "modelscope://datasets/org/ms_hub_url"),
        ("NOTHING", ("om_hub_url", "file_name"), "modelers://datasets/org/om_hub_url"),
    ],
)
def test_which_hub(variable, keys, path, monkeypatch):
    monkeypatch.setenv(variable, "1")
    assert translate({key: f"org/{key}" for key in keys})["path"] == path


def test_tags_over_openai():
    made = translate({"file_name": "a.json", "formatting": "openai", "tags": {"role_tag": "who"}})
    tags = {"role_tag": "who"}
    assert made == {"path": "./a.json", "format": "sharegpt", "tags": tags, "columns": {"*": ""}}


def test_found_beside_the_data(place):
    """A registry of ours that does not know a name leaves it to the file in the data's folder."""
    for name in ("identity", "data/identity"):
        source, problems = entry_of(name, registry="conf/datasets.yaml")
        assert (source.entry.path, source.entry.format, source.name, problems) == (
            "data/identity.json",
            "alpaca",
            "identity",
            [],
        )
    (place / "data" / "dataset_info.json").write_text("{")
    source, problems = entry_of("data/identity", registry="conf/datasets.yaml")
    assert (source.entry.path, problems) == ("data/identity", [])


def test_what_is_wrong():
    _, (problem,) = entry_of("scripted")
    assert "scripted is made by a script (script_url), which is not run" in problem.message
    _, (problem,) = entry_of("odd")
    assert "colums" in problem.message and "columns" in problem.message + problem.advice


def test_what_datasets_writes_under_that_name():
    assert not is_dataset_info({"citation": "", "features": {"text": {"dtype": "string"}}, "splits": {}})
    assert not is_dataset_info({})
    assert is_dataset_info(INFO)
    commented = {"_comment": "mine", "half": {"formatting": "sharegpt"}, "plain": {"file_name": "a.json"}}
    assert is_dataset_info(commented) and sets_in(commented).keys() == {"half", "plain"}


def test_a_slip_is_told_with_the_names_there():
    source, _ = entry_of("data/idnetity", registry="conf/datasets.yaml")
    (problem,) = problems_of(source, SimpleNamespace(installed=lambda kind: {}), "local")
    assert "data/dataset_info.json names others: " in problem.advice
    assert "did you mean identity?" in problem.advice


def test_a_pattern_in_the_working_folder_has_the_folders_name(tmp_path, monkeypatch):
    (tmp_path / "talks").mkdir()
    monkeypatch.chdir(tmp_path / "talks")
    for path in ("*.jsonl", "./*.jsonl"):
        source, problems = resolve(Entry(path=path), "data.train[0]", {}, "none")
        assert source.name == "talks" and not problems


def test_one_that_is_half_written_hurts_itself_alone(place):
    (place / "data" / "dataset_info.json").write_text(json.dumps({**INFO, "_comment": "x", "half": {"ranking": True}}))
    source, problems = entry_of("identity")
    assert (source.entry.path, problems) == ("data/identity.json", [])
    _, (problem,) = entry_of("half")
    assert "half" in problem.message


ROW = {"instruction": "i", "input": "n", "output": "o", "system": "s", "history": [["a", "b"]], "chosen": "c"}
ROW |= {"rejected": "r", "label": True, "question": "q", "answer": "w", "weight": 3, "tools": "[]"}
ASKED = [{"role": "user", "content": "i\nn"}]


def answered(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ({}, answered("i\nn", "o")),
        ({"columns": {"prompt": "question", "response": "answer"}}, answered("q\nn", "w")),
        ({"columns": {"prompt": "question", "query": "", "response": "answer"}}, answered("q", "w")),
        ({"columns": {"prompt": "input", "response": "output"}}, answered("n", "o")),
        ({"columns": {"prompt": "instruction", "query": "input", "response": "chosen"}}, answered("i\nn", "c")),
        (
            {"ranking": True, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}},
            {
                "prompt": [{"role": "user", "content": "i\nn"}],
                "chosen": [{"role": "assistant", "content": "c"}],
                "rejected": [{"role": "assistant", "content": "r"}],
            },
        ),
        (
            {"columns": {"prompt": "instruction", "response": "output", "kto_tag": "label", "system": "system"}},
            {
                "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "i\nn"}],
                "completion": [{"role": "assistant", "content": "o"}],
                "label": True,
            },
        ),
    ],
)
def test_columns_that_are_not_named_are_not_read(values, row):
    """Only LLaMA-Factory's own defaults are, of columns that no other role has; most roles have none."""
    entry = translate({"file_name": "a.json", **values})
    (made,) = Alpaca().to_rows(records=[ROW], columns=entry["columns"])
    assert {name: value for name, value in made.items() if value is not None} == row


def test_a_conversation_alone():
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    record = {"conversations": turns, "system": "s", "tools": "[]", "chosen": turns[1], "rejected": turns[1]}
    for columns, first in (({}, "user"), ({"messages": "conversations", "system": "system"}, "system")):
        entry = translate({"file_name": "a.json", "formatting": "sharegpt", "columns": columns})
        (made,) = ShareGPT().to_rows(records=[record], columns={**entry["columns"], **entry.get("tags", {})})
        assert made.keys() == {"messages"} and made["messages"][0]["role"] == first
    tags = {"role_tag": "who", "content_tag": "said", "user_tag": "u", "assistant_tag": "a"}
    entry = translate({"file_name": "a.json", "formatting": "sharegpt", "tags": tags})
    record = {"conversations": [{"who": "u", "said": "q"}, {"who": "a", "said": "w"}]}
    (made,) = ShareGPT().to_rows(records=[record], columns={**entry["columns"], **entry["tags"]})
    assert [message["role"] for message in made["messages"]] == ["user", "assistant"]


def test_what_is_not_read_is_said():
    columns = translate({"file_name": "a.json", "columns": {"prompt": "question"}, "formatting": "alpaca"})
    entry = translate({"file_name": "a.json", "columns": {"prompt": "question", "response": "answer"}})
    assert unread(entry["columns"], ROW) == [
        *("instruction", "output", "system", "history", "chosen", "rejected", "label", "weight", "tools"),
    ]
    assert by_default(entry["columns"], ROW) == {"query": "input"}
    assert by_default(translate({"file_name": "a.json"})["columns"], ROW) == {}
    assert (
        by_default(translate({"file_name": "a", "columns": {"prompt": "input"}, "num_samples": 1})["columns"], ROW)
        == {}
    )
    assert unread(translate({"file_name": "a.json"})["columns"], ["instruction", "input", "output", "x"]) == []
    assert unread({"instruction": "a"}, ROW) == [] and columns["format"] == "text"
