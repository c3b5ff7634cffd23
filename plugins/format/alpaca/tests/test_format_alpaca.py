"""The Alpaca format against rows written by hand, and the real files."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith_format_alpaca import Alpaca
from tunesmith_library_testing import FormatSuite

TOOL = {"type": "function", "function": {"name": "count"}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def row(record, **columns):
    return next(iter(Alpaca().to_rows([record], columns)))


class TestAlpaca(FormatSuite):
    plugin = Alpaca
    records = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Hi {{name}}", "input": "", "output": "I am {{name}}."},
        {"instruction": "c", "output": "d", "system": "Be brief.", "history": [["a", "b"]]},
        {"instruction": "Add.", "input": None, "chosen": "3", "rejected": "4"},
        {"instruction": "Add.", "output": "4", "kto_tag": False},
        {"instruction": "Write.", "output": ""},
        {"instruction": "Count.", "output": "1", "tools": json.dumps([TOOL]), "images": "a.png"},
        {"instruction": "Add.", "chosen": None, "rejected": "4"},
        {"instruction": "Add.", "chosen": "3", "rejected": None},
    ]
    rows = [
        {"messages": [user("Add.\n1 2"), assistant("3")]},
        {"messages": [user("Hi {{name}}"), assistant("I am {{name}}.")]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                user("a"),
                assistant("b"),
                user("c"),
                assistant("d"),
            ]
        },
        {"prompt": [user("Add.")], "chosen": [assistant("3")], "rejected": [assistant("4")]},
        {"prompt": [user("Add.")], "completion": [assistant("4")], "label": False},
        {"prompt": [user("Write.")]},
        {"messages": [user("Count."), assistant("1")], "tools": [TOOL], "images": ["a.png"]},
        {"prompt": [user("Add.")]},
        {"prompt": [user("Add.")]},
    ]
    renamed = {"instruction": "question", "output": "answer", "kto_tag": "liked"}


def test_names_of_other_tools():
    """`prompt`, `query`, `response` and `kto_tag` are accepted in `columns`."""
    made = row({"q": "Add.", "n": "1 2", "a": "3", "ok": 1}, prompt="q", query="n", response="a", kto_tag="ok")
    assert made == {"prompt": [user("Add.\n1 2")], "completion": [assistant("3")], "label": True}


def test_missing_columns():
    with pytest.raises(DataError) as raised:
        row({"question": "a", "answer": "b"})
    assert str(raised.value) == (
        "record 0: alpaca needs `instruction`, `output`; found `question`, `answer`; "
        "map them with columns={instruction: COLUMN, output: COLUMN}"
    )
    with pytest.raises(DataError) as raised:
        row({"instruction": "a", "chosen": "b"})
    assert str(raised.value) == (
        "record 0: alpaca needs `instruction`, `chosen`, `rejected`; found `instruction`, `chosen`; "
        "map them with columns={rejected: COLUMN}"
    )


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": 7, "output": "a"},
        {"instruction": "a", "output": ["b"]},
        {"instruction": "a", "output": "b", "history": ["x"]},
        {"instruction": "a", "output": "b", "tools": "{"},
    ],
)
def test_wrong_values(record):
    with pytest.raises(DataError, match="record 0: "):
        row(record)


@pytest.mark.real
@pytest.mark.parametrize("name", ["alpaca_en_demo", "alpaca_zh_demo", "identity"])
def test_real(real_files: Path, name):
    records = json.loads((real_files / "data" / f"{name}.json").read_text(encoding="utf-8"))
    made = list(Alpaca().to_rows(records, {}))
    assert len(made) == len(records)
    for record, one in zip(records, made, strict=True):
        question, answer = one["messages"]
        assert question == user(record["instruction"] + ("\n" + record["input"] if record["input"] else ""))
        assert answer == assistant(record["output"])


def test_records_of_other_names():
    made = row({"prompt": "Add.", "query": "1 2", "response": "3"})
    assert made == {"messages": [user("Add.\n1 2"), assistant("3")]}
    with pytest.raises(DataError, match="record 0: `response` must be text, found 3"):
        row({"prompt": "Add.", "response": 3})
    assert not Alpaca.looks_like({"prompt": [], "response": "3"})


def test_ranked_outputs():
    made = row({"instruction": "Add.", "input": "1 2", "output": ["3", "4"]})
    assert made == {"prompt": [user("Add.\n1 2")], "chosen": [assistant("3")], "rejected": [assistant("4")]}
    with pytest.raises(DataError, match="`output` must be text or a list of 2 × text"):
        row({"instruction": "Add.", "output": ["3", "4", "5"]})


def test_prompts_alone():
    """A record whose columns hold no answer is a prompt; a column of another name may be its answer."""
    record = {"instruction": "Add.", "input": "1 2", "system": "Brief."}
    assert Alpaca.looks_like(record)
    assert row(record)["prompt"] == [{"role": "system", "content": "Brief."}, user("Add.\n1 2")]
    assert not Alpaca.looks_like({"instruction": "Add.", "answer": "3"})
    with pytest.raises(DataError, match="needs `instruction`, `answer`; found `instruction`"):
        row({"instruction": "Add."}, output="answer")
