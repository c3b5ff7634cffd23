"""Formats beside each other: which one a data set is of, and a third party's among the built-in ones."""

from __future__ import annotations

import functools
import itertools
import json
import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tunesmith
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith_data_datasets.reading import read_records
from tunesmith_library_formats import matches

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SHARED = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]


BUILT_IN = ("alpaca", "openai", "sharegpt", "text")


@functools.cache
def built_in() -> dict[str, type]:
    return {name: cls for name, cls in Catalog.discover().classes("format").items() if name in BUILT_IN}


def detected(record: dict[str, Any], columns: dict[str, str] | None = None) -> str | None:
    return next((match.format for match in matches(record, columns or {}, built_in())), None)


@pytest.mark.parametrize(
    ("record", "columns", "name"),
    [
        ({"messages": TURNS}, {}, "openai"),
        ({"messages": TURNS, "label": True, "text": "a"}, {}, "openai"),
        ({"messages": TURNS, "prompt": "a", "response": "b"}, {}, "openai"),
        ({"messages": TURNS, "instruction": "a", "output": "b"}, {}, "openai"),
        ({"messages": json.dumps(TURNS)}, {}, "openai"),
        ({"messages": []}, {}, "openai"),
        ({"messages": SHARED}, {}, "sharegpt"),
        ({"talk": TURNS}, {"messages": "talk"}, "openai"),
        ({"talk": SHARED}, {"messages": "talk"}, "sharegpt"),
        ({"conversations": []}, {}, "sharegpt"),
        ({"conversations": SHARED, "instruction": "a", "output": "b", "text": "c"}, {}, "sharegpt"),
        ({"conversations": TURNS}, {}, "sharegpt"),
        ({"conversations": SHARED, "chosen": SHARED[1], "rejected": SHARED[1]}, {}, "sharegpt"),
        ({"conversations": SHARED, "chosen": "a", "rejected": "b"}, {}, "sharegpt"),
        ({"conversations": [{"who": "a", "says": "b"}]}, {"role_tag": "who", "content_tag": "says"}, "sharegpt"),
        ({"instruction": "", "output": ""}, {}, "alpaca"),
        ({"instruction": "", "input": "", "output": "", "text": ""}, {}, "alpaca"),
        ({"instruction": "", "chosen": "", "rejected": ""}, {}, "alpaca"),
        ({"instruction": "", "response": ""}, {}, "alpaca"),
        ({"q": "", "a": ""}, {"instruction": "q", "output": "a"}, "alpaca"),
        ({"q": "", "a": ""}, {"prompt": "q", "response": "a"}, "alpaca"),
        ({"prompt": "", "chosen": "", "rejected": ""}, {}, "openai"),
        ({"prompt": "", "prompt_id": "", "messages": TURNS, "chosen": TURNS, "rejected": TURNS}, {}, "openai"),
        ({"chosen": TURNS, "rejected": TURNS}, {}, "openai"),
        ({"input": {"messages": TURNS[:1]}, "preferred_output": [], "non_preferred_output": []}, {}, "openai"),
        ({"prompt": "", "completion": ""}, {}, "openai"),
        ({"prompt": TURNS[:1], "answer": "3"}, {}, "openai"),
        ({"text": "", "url": ""}, {}, "text"),
        ({"content": ""}, {"text": "content"}, "text"),
        ({"q": ""}, {}, None),
        ({"prompt": ""}, {}, "openai"),
        ({"prompt": "", "solution": "3"}, {}, "openai"),
        ({"prompt": "", "text": ""}, {}, "text"),
        ({}, {}, None),
    ],
)
def test_the_format_of_a_record(record: dict[str, Any], columns: dict[str, str], name: str | None) -> None:
    assert detected(record, columns) == name


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("alpaca", ["alpaca_en_demo.json", "alpaca_zh_demo.json", "identity.json"]),
        ("openai", ["kto_en_demo.json", "mllm_demo.json", "mllm_audio_demo.json", "reason_tool_use_demo_50.jsonl"]),
        ("sharegpt", ["dpo_en_demo.json", "glaive_toolcall_en_demo.json"]),
        ("text", ["c4_demo.jsonl", "wiki_demo.txt"]),
    ],
)
def test_the_formats_of_real_files(real_files: Path, name: str, files: list[str]) -> None:
    """Every record tells it, not only the first one."""
    for file in files:
        records = itertools.islice(read_records(real_files / "data" / file), 100)
        assert {detected(record) for record in records} == {name}, file


@plugin
class Mine:
    """A third party's: questions and answers by a person."""

    reads: ClassVar[str] = "question, answer, person"

    @staticmethod
    def looks_like(record: Any) -> bool:
        return {"question", "answer", "person"} <= record.keys()

    @hookimpl
    def to_rows(self, records: Any, columns: Any) -> Any:
        for record in records:
            turns = ("user", record["question"]), ("assistant", record["answer"])
            yield {"messages": [{"role": role, "content": content} for role, content in turns]}


def catalog(*names: str, **others: type) -> Catalog:
    """The installed plugins, of the formats only those that are named."""
    installed = Catalog.discover()
    plugins = {
        entry.address: installed.load(entry)
        for entry in installed.entries()
        if entry.kind not in ("format", "command") and not entry.distribution.startswith("tunesmith-patch")
    }
    formats = {f"format.{name}": cls for name, cls in installed.classes("format").items() if name in names}
    return Catalog.of({**plugins, **formats, **{f"format.{name}": cls for name, cls in others.items()}})


@pytest.fixture
def config(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    record = {"question": "a", "answer": "b", "person": "c", "text": "d", "prompt": "e", "completion": "f"}
    Path("mine.json").write_text(json.dumps([record]))
    Path("alpaca.json").write_text(json.dumps([{"instruction": "a", "output": "b", "text": "c"}]))
    Path("odd.json").write_text(json.dumps([{"colour": "green"}]))
    return {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"cache": False},
        "output_dir": str(tmp_path / "out"),
        "precision": "fp32",
    }


def test_a_third_partys_format_is_told_by_its_records(config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """It reads three columns, the built-in ones that say yes two and one; what decided is announced."""
    from tunesmith import show

    with caplog.at_level(logging.INFO, "tunesmith"):
        _, splits = show(config, ["data.train=[mine.json]"], catalog=catalog(*BUILT_IN, mine=Mine))
    assert len(splits.train) == 1
    assert "data.train[0].format: mine (by question, answer, person)" in caplog.text


def test_a_third_partys_format_is_listed(config: dict[str, Any]) -> None:
    _, problems = tunesmith.plan(config, ["data.train=[odd.json]"], catalog=catalog("text", mine=Mine))
    (problem,) = (item for item in problems if str(item.key) == "data.train[0].format")
    assert "odd.json is of no known format; found: colour." in problem.message
    assert problem.advice.endswith("  mine  question, answer, person\n  text  text")


@pytest.mark.parametrize("other", [[], ["optimizer=adamw_of_tomorrow"], ["adapter=nobody"]])
def test_all_that_is_missing_is_named_at_once(config: dict[str, Any], other: list[str]) -> None:
    """A format that only the data tell is missing in the first answer, together with what else is wrong."""
    hidden = catalog("text", mine=Mine)
    _, problems = tunesmith.plan(config, ["data.train=[alpaca.json]", "patch=liger", *other], catalog=hidden)
    (missing,) = (item for item in problems if "not installed" in item.message)
    assert "format=alpaca" in missing.message and "patch=liger" in missing.message
    assert "tunesmith-format-alpaca tunesmith-patch-liger" in missing.advice
    assert len(problems) == 1 + len(other), [item.message for item in problems]
