"""The commands over data sets: files that they write, what they print, exit codes.

The installed data plugin is stood in for by one that reads JSON Lines, so that nothing else need be there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import tunesmith_library_linting.sets as sets
from click.testing import CliRunner
from tunesmith import DataError, TunesmithError, hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.types import DatasetSplits, Requirement
from tunesmith_command_data import Data
from tunesmith_command_data.inputs import entries_of
from tunesmith_command_data.outputs import writing
from tunesmith_library_configuration.locks import IN_FOLDER, locked


class Lines(Iterable[Mapping[str, Any]]):
    """The records of a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, ""

    def __iter__(self) -> Any:
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line:
                continue
            self.place = f"line {number}"
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DataError(f"{self.path}, {self.place}: no JSON") from error


@plugin
class JsonLines:
    """Reads JSON Lines."""

    train: list[dict[str, Any]] = []  # path and format
    cache: bool = True  # unused
    num_proc: int | None = None  # unused

    @hookimpl
    def requires(self, installed: Any) -> list[Requirement]:
        return [Requirement("format", entry.get("format", "said"), "data.train") for entry in self.train]

    @hookimpl
    def build_dataset(self, fetch: Any, to_rows: Any, encode: Any) -> DatasetSplits:
        for entry in self.train:
            records = Lines(Path(entry["path"]))
            encode(list(to_rows(entry.get("format", "said"), records, {})))
        return DatasetSplits([])


@plugin
class Said:
    """`asked` and `said`."""

    @hookimpl
    def to_rows(self, records: Any, columns: Any) -> Any:
        for record in records:
            if "said" not in record:
                raise DataError(f"{records.place}: needs `said`")
            answer = {"role": "assistant", "content": record["said"]}
            yield {"messages": [{"role": "user", "content": record["asked"]}, answer]}

    @staticmethod
    def to_record(row: Mapping[str, Any]) -> dict[str, Any]:
        if len(row["messages"]) != 2:
            raise DataError("two messages are possible")
        return {"asked": row["messages"][0]["content"], "said": row["messages"][1]["content"]}


CATALOG = Catalog.of({"data.datasets": JsonLines, "format.said": Said})
ROWS = [
    {"asked": "Who?", "said": "Me."},
    {"asked": "What?", "said": ""},
    {"asked": "Where?"},
    {"asked": "Who?", "said": "me."},
    {"asked": "Key?", "said": "AKIAQ3EGRZTWB7YXLMN4"},
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Catalog, "discover", staticmethod(lambda: CATALOG))
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    return path


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(Data().command(), list(map(str, words)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_record_that_cannot_be_read_is_told_and_the_rest_is_checked(data: Path) -> None:
    code, out = run("check", data, "--json")
    found = json.loads(out)["findings"]
    assert [(one["row"], one["place"], one["check"], one["message"]) for one in found] == [
        (2, "line 2", "empty", "messages[1]: the message of assistant is empty"),
        (3, "line 3", "format", "needs `said`"),
        (4, "line 4", "duplicate", "the same as row 1 of a.jsonl"),
        (5, "line 5", "secret", "there is an AWS key"),
    ]
    assert code == 1
    assert run("check", data, "--only", "duplicate")[0] == 0  # a warning


def test_a_file_that_ends_in_the_middle_is_checked_up_to_there(data: Path) -> None:
    with data.open("a", encoding="utf-8") as stream:
        stream.write('{"asked": "Who')
    data = data.rename(data.with_name("a.lines"))  # whose lines nobody else knows to be JSON
    code, out = run("check", data, "--json", "--only", "format")
    report = json.loads(out)
    assert report["sets"]["a.lines"]["rows"] == 5
    assert [one["message"].partition(", ")[2] for one in report["findings"] if one["row"] is None] == [
        "line 6: no JSON; the 5 rows before it were checked, the rest was not"
    ]
    assert code == 1


def test_a_mended_set_has_the_records_as_they_stood(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run("check", data, "--fix", out)[0] == 1
    assert lines(out) == [ROWS[0], {"asked": "Key?", "said": "[AWS key]"}]
    assert run("check", out)[0] == 0
    with pytest.raises(TunesmithError, match="exists already"):
        run("check", data, "--fix", out)


def test_the_report_has_a_table_a_histogram_and_the_first_findings(data: Path) -> None:
    _, out = run("check", data, "--show", "1")
    assert "a.jsonl: 5 rows" in out and "up to 32 " in out
    assert "error: a.jsonl, row 2 (line 2): empty: messages[1]" in out
    assert out.count("error: ") == 3 and out.count("warning: ") == 1
    only = data.with_name("b.jsonl")
    only.write_text(json.dumps(ROWS[0]), encoding="utf-8")
    code, out = run("check", only)
    assert code == 0 and "nothing is wrong" in out


def test_too_long_is_told_in_characters_where_there_is_no_tokenizer(data: Path) -> None:
    _, out = run("check", data, "--max-length", "24", "--only", "too_long", "--json")
    assert [one["message"] for one in json.loads(out)["findings"]] == ["25 characters, of which 24 are allowed"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.jsonl.gz"])
def test_rows_are_written_in_another_format(data: Path, name: str) -> None:
    out = data.with_name(name)
    code, said = run("convert", data, out, "--to", "alpaca")
    text = (gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()).decode()
    records: Sequence[Any] = json.loads(text) if name == "out.json" else list(map(json.loads, text.splitlines()))
    assert records[0] == {"instruction": "Who?", "input": "", "output": "Me."}
    assert len(records) == 4 and "4 records of alpaca" in said
    assert code == 1  # one row was left out


def test_a_format_may_write_itself(data: Path) -> None:
    out = data.with_name("out.jsonl")
    run("convert", data, out, "--to", "said")
    assert lines(out) == [row for row in ROWS if "said" in row]
    with pytest.raises(TunesmithError, match="did you mean alpaca"):
        run("convert", data, data.with_name("b.jsonl"), "--to", "alpacca")
    with pytest.raises(TunesmithError, match=r"possible: \.jsonl"):
        run("convert", data, data.with_name("b.csv"), "--to", "alpaca")


def test_a_conversion_that_fails_leaves_no_file(data: Path) -> None:
    data = data.rename(data.with_name("a.lines"))
    data.write_text(json.dumps(ROWS[0]) + '\n{"asked', encoding="utf-8")
    out = data.with_name("out.jsonl")
    with pytest.raises(DataError, match="line 2: no JSON"):
        run("convert", data, out, "--to", "openai")
    assert not out.exists()


def test_samples_are_rows_of_the_set_in_order_and_repeatable(data: Path) -> None:
    _, out = run("sample", data, "-n", 3, "--json")
    rows = [json.loads(line)["row"] for line in out.splitlines()]
    assert rows == sorted(rows) and len(set(rows)) == 3
    assert run("sample", data, "-n", 3, "--json")[1] == out
    _, all_of_them = run("sample", data, "-n", 9)
    assert all_of_them.count("── a.jsonl") == 5 and "cannot be read: needs `said`" in all_of_them


def test_statistics_count_rows_messages_and_lengths(data: Path) -> None:
    _, out = run("stats", data, "--json")
    about = json.loads(out)["a.jsonl"]
    assert about["rows"] == {"messages": 4, "unreadable": 1}
    assert about["messages"] == {"user": 4, "assistant": 4}
    assert about["lengths"]["rows"] == 4
    assert "rows: 4 messages, 1 unreadable" in run("stats", data)[1]


def test_data_sets_of_other_programs_are_listed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a run finds by their bare names: of a `dataset_info.json` here, or in `data`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    info = {"talks": {"file_name": "t.json", "formatting": "sharegpt"}, "far": {"hf_hub_url": "org/name"}}
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "dataset_info.json").write_text('{"features": {"text": {"dtype": "string"}}}')  # another program's
    (tmp_path / "sets.yaml").write_text("mine: {path: m.json}")
    for registry in ("sets.yaml", "data/dataset_info.json"):
        _, out = run("list", "--registry", registry)
        said = " ".join(out.split())
        assert "talks ./t.json sharegpt" in said and "far huggingface://datasets/org/name alpaca" in said
        assert "2 data sets of data/dataset_info.json" in said and ("mine m.json auto" in said) == ("yaml" in registry)


def test_nothing_is_written_into_the_folder_of_a_run_that_is_trained(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    with locked(run_folder / IN_FOLDER, run_folder, "training"):
        for out in (run_folder / "b.jsonl", run_folder / "deeper" / "b.jsonl"):
            with pytest.raises(TunesmithError, match=f"{run_folder} is in use: process .* writes there"), writing(out):
                pass
        with pytest.raises(TunesmithError, match="is in use"):
            run("encode", "--output", run_folder / "encoded")
    with writing(run_folder / "b.jsonl") as write:
        write({"text": "b"})
    assert [path.name for path in run_folder.iterdir()] == ["b.jsonl"]


def test_the_registry_is_listed(tmp_path: Path) -> None:
    registry = tmp_path / "sets.yaml"
    registry.write_text("a: some/where\nb: {path: b.json, format: openai, split: test}\n", encoding="utf-8")
    _, out = run("list", "--registry", registry)
    assert [line.split() for line in out.splitlines()[1:3]] == [
        ["a", "some/where", "auto"],
        ["b", "b.json", "openai", "split=test"],
    ]
    with pytest.raises(TunesmithError, match="there is no file"):
        run("list", "--registry", tmp_path / "gone.yaml")


def test_nothing_named_is_a_mistake() -> None:
    assert isinstance(Data().command(), click.Group)
    with pytest.raises(TunesmithError, match="no data set is named"):
        run("check", "format=alpaca")


def test_formats_are_lenient_only_for_who_reads_past_faults(data: Path) -> None:
    assert list(sets._lenient_class(Said)().to_rows([{}], {})) == [{"\0fault": "needs `said`"}]


def test_lines_that_are_no_json_are_told_each_and_the_others_are_checked(data: Path) -> None:
    lines = [json.dumps(ROWS[0]), '{"asked": ', json.dumps(ROWS[1]), "", "[1]", json.dumps(ROWS[3])]
    data.write_text("\n".join(lines), encoding="utf-8")
    path = data.rename(data.with_name("b.jsonl"))
    _, out = run("check", path, "--json")
    report = json.loads(out)
    assert [(one["row"], one["check"]) for one in report["findings"]] == [
        (2, "format"),
        (3, "empty"),
        (4, "format"),
        (5, "duplicate"),
    ]
    assert report["findings"][0]["message"].startswith("it is not JSON")
    assert {one["file"] for one in report["findings"]} == {str(path)}


def test_a_set_that_is_trained_on_is_not_measured_on(tmp_path: Path) -> None:
    """The same file on both sides is a leak of all of its rows, and not the same set twice."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": "Who?", "completion": "Me."}) + "\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match="named twice"):
        run("check", file, "--eval", file)


def test_a_configuration_is_no_data_set_and_its_sets_are_named(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("data:\n  train: [a.json, {path: b.json}]\n  eval: [c.json]\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"is a configuration, and(.|\n)*measured on: a\.json b\.json c\.json"):
        entries_of([str(file)])
