"""Data sets: any row of any file, canonical forms and back, versions, and the registry."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith import DataError, TunesmithError
from tunesmith_library_formats.writing import WRITERS
from tunesmith_library_studio.data import Data, editing, opening, registry, shaping, versions
from tunesmith_library_studio.data.browsing import Wanted, media_file, rows_of
from tunesmith_library_studio.data.formats import Reading, guess
from tunesmith_library_studio.data.lines import Lines
from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace

ALPACA = [{"instruction": f"Ask {n}", "input": "", "output": f"Answer {n}", "source": "web"} for n in range(1, 7)]
CHAT = {"messages": [{"role": "user", "content": "嗨"}, {"role": "assistant", "content": "你好"}]}
PAIR = {
    "prompt": [{"role": "user", "content": "2+2?"}],
    "chosen": [{"role": "assistant", "content": "4"}],
    "rejected": [{"role": "assistant", "content": "5"}],
}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    made = Data(Workspace(Path("runs"), tmp_path))
    yield made
    made.close()


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def texts(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_any_line_is_found_as_reading_all_finds_it(tmp_path: Path) -> None:
    numbers = random.Random(3)
    lines = [b"x" * numbers.choice([0, 1, 50, 5000, 400_000]) for _ in range(300)]
    for end in (b"", b"\n"):
        file = tmp_path / "a.jsonl"
        file.write_bytes(b"\n".join(lines) + end)
        expected = file.read_bytes().splitlines()
        found = Lines(file)
        assert found.count == len(expected) > 1 and file.stat().st_size > 3 << 20
        for row in (1, 2, 150, 299, len(expected)):
            assert list(found.read(row, 1)) == [(row, expected[row - 1])]
        assert [line for _, line in found.read(290)] == expected[289:]
        assert list(found.read(len(expected) + 1, 3)) == list(found.read(10**30, 3)) == []


def test_an_index_is_kept_for_a_large_file_and_made_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "large.jsonl"
    line = b'{"text": "' + b"y" * 1000 + b'"}\n'
    file.write_bytes(line * 20_000)
    first = Lines(file, tmp_path)
    (kept,) = tmp_path.glob("*.lines")
    assert kept.stat().st_size < 1000 and Lines(file, tmp_path).count == first.count == 20_000
    with file.open("ab") as stream:
        stream.write(b'{"text": "new"}')
    assert list(Lines(file, tmp_path).read(20_001, 5)) == [(20_001, b'{"text": "new"}')]


def test_an_empty_file_has_no_rows(data: Data, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert rows_of(data, "empty.jsonl", Wanted()) == {"items": [], "total": 0, "next": None}


def test_broken_lines_are_shown_with_their_numbers(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "one"}\n{broken\n\n[1]\n\xff\xfe\n{"text": "six"}\n')
    items = rows_of(data, "a.jsonl", Wanted())["items"]
    assert [item["row"] for item in items] == [1, 2, 4, 5, 6]
    assert items[1]["fault"].startswith("line 2 is no JSON") and items[1]["text"] == "{broken"
    assert "a JSON object is needed" in items[2]["fault"] and items[4]["content"] == {"text": "six"}


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('[{"a": 1}, {"b":', ', {"b":'),
        (' [{"a": 1}\n', "(the list has no end)"),
        ('[{"a": 1}] x', "] x"),
        ('{"a": 1}', ""),
    ],
)
def test_of_damaged_json_the_beginning_is_shown(text: str, rest: str) -> None:
    items, left = opening.beginning(text)
    assert items == ([{"a": 1}] if text.lstrip().startswith("[") else []) and left == (rest or text)


def test_damaged_json_opens_with_its_rest_as_a_broken_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "one"}, {"text":\n "tw')

    def unpack(data: str, out: Path) -> None:
        raise TunesmithError(f"{data} is no JSON")

    first, second = opening.open_file(tmp_path / "a.json", "a.json", tmp_path, unpack).all()
    assert first.record == {"text": "one"} and second.text == ', {"text": "tw' and "no JSON" in second.fault
    (tmp_path / "b.json").write_text("nothing")
    with pytest.raises(TunesmithError, match="is no JSON"):
        opening.open_file(tmp_path / "b.json", "b.json", tmp_path, unpack)


@pytest.mark.slow
def test_all_kinds_of_files_are_read(data: Data, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    text = "".join(json.dumps(record) + "\n" for record in ALPACA)
    (tmp_path / "a.json").write_text(json.dumps(ALPACA))
    (tmp_path / "b.jsonl").write_text(text)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "d.csv").write_text(
        "instruction,input,output\n" + "".join(f"Ask {n},,Answer {n}\n" for n in range(1, 7))
    )
    parquet.write_table(pyarrow.Table.from_pylist(ALPACA), tmp_path / "e.parquet")
    for name in ("a.json", "b.jsonl", "c.jsonl.gz", "d.csv", "e.parquet"):
        found = rows_of(data, name, Wanted(offset=3, limit=1))
        assert found["total"] == 6, name
        assert found["items"][0]["content"]["messages"][1]["content"] == "Answer 4", name
    (tmp_path / "f.txt").write_text("one\ntwo\n")
    assert [item["content"] for item in rows_of(data, "f.txt", Wanted())["items"]] == [{"text": "one"}, {"text": "two"}]
    assert {one["name"]: one["rows"] for one in data.listed()}["a.json"] == 6


@pytest.mark.parametrize("words", ["你好", "\\u4f60", 'say "so"'])
def test_search_finds_texts_however_they_are_escaped(data: Data, tmp_path: Path, words: str) -> None:
    plain = json.dumps({"text": '你好 say "so"'}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f'{{"text": "other"}}\n{plain}\n{json.dumps(json.loads(plain))}\n', "utf-8")
    found = [item["row"] for item in rows_of(data, "a.jsonl", Wanted(search=words))["items"]]
    assert found == ([3] if words.startswith("\\") else [2, 3])


def test_a_search_goes_on_where_it_stopped(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"text": "hit" if n % 2 else "no"} for n in range(1, 10)])
    first = rows_of(data, "a.jsonl", Wanted(search="HIT", limit=2))
    assert [item["row"] for item in first["items"]] == [1, 3]
    then = rows_of(data, "a.jsonl", Wanted(search="HIT", limit=2, offset=first["next"]))
    assert [item["row"] for item in then["items"]] == [5, 7]


ROUND_TRIPS = [(name, row) for name in WRITERS for row in (CHAT, PAIR, {"text": "plain"})]


@pytest.mark.parametrize(("format", "row"), ROUND_TRIPS, ids=[f"{name}-{next(iter(row))}" for name, row in ROUND_TRIPS])
def test_a_row_written_as_a_record_is_the_same_when_read(format: str, row: dict[str, Any]) -> None:
    if (format == "text") != ("text" in row):
        return
    reading = Reading(format)
    former = {**WRITERS[format](row), "source": "web"}  # type: ignore[arg-type]
    if "text" in row:
        changed = {"text": "another"}
    else:
        name = "chosen" if "chosen" in row else "messages"
        changed = {**row, name: [*row[name][:-1], {"role": "assistant", "content": "另一个"}]}
    record = reading.record(changed, former)
    assert record["source"] == "web" and list(record)[:1] == list(former)[:1]
    assert guess(record) == format and reading.row(record)[0] == changed


def test_a_row_that_its_format_has_no_place_for_is_refused() -> None:
    row = {"messages": [*CHAT["messages"], {"role": "system", "content": "late"}]}
    with pytest.raises(DataError, match="ShareGPT"):
        Reading("sharegpt").record(row, {"conversations": []})
    thought = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "reasoning": "hm"}]}
    with pytest.raises(DataError, match="cannot hold all"):
        Reading("alpaca").record(thought, ALPACA[0])


def test_a_version_has_the_changes_and_every_other_line_as_it_was(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    odd = b'{"text":  "spaces  stay"}\r\n{broken\n\n{"text": "three"}\n{"text": "four"}\n'
    file.write_bytes(odd)
    editing.noted(data, "a.jsonl", 4, "ann", "edit", {"text": "3"}, revision=0)
    editing.noted(data, "a.jsonl", 5, "ann", "delete", True, revision=0)
    made = editing.saved(data, "a.jsonl", "ann", "edits", "smaller")
    assert texts(tmp_path / made["path"]) == ['{"text":  "spaces  stay"}', "{broken", '{"text": "3"}']
    assert file.read_bytes() == odd
    assert made["changes"] == {"edited": 1, "removed": 1} and made["parent"] == "a.jsonl" and made["rows"] == 3
    manifest = json.loads((tmp_path / "a.jsonl.versions.json").read_text())
    assert [one["file"] for one in manifest["versions"]] == ["a.v2.jsonl"]


def test_versions_of_versions_and_one_restored(data: Data, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ALPACA))
    editing.noted(data, "a.json", 2, "ann", "correct", "Better 2")
    second = editing.saved(data, "a.json", "ann", "edits")["path"]
    assert second == "a.v2.jsonl" and json.loads(texts(tmp_path / second)[1])["output"] == "Better 2"
    editing.noted(data, second, 1, "bob", "delete", True, revision=0)
    third = editing.saved(data, second, "bob", "edits")
    assert (third["path"], third["parent"], third["rows"]) == ("a.v3.jsonl", "a.v2.jsonl", 5)
    fourth = editing.saved(data, "a.json", "bob", "restored")
    assert [json.loads(line) for line in texts(tmp_path / fourth["path"])] == ALPACA
    assert [one["file"] for one in versions.versions(tmp_path / "a.v3.jsonl")] == [
        "a.json",
        *(f"a.v{number}.jsonl" for number in (2, 3, 4)),
    ]
    told = versions.differences(data.opened("a.json"), data.opened("a.v3.jsonl"), 10)
    assert told["counts"] == {"changed": 1, "removed": 1, "added": 0} and told["same"] == 4


def test_differences_pair_what_changed_in_its_place(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"text": text} for text in "abcdeaf"])
    write(tmp_path / "b.jsonl", [{"text": text} for text in "abXdeag"] + [{"text": "a"}])
    told = versions.differences(data.opened("a.jsonl"), data.opened("b.jsonl"), 10)
    pairs = [(one["before"]["record"]["text"], one["after"]["record"]["text"]) for one in told["changed"]]
    assert pairs == [("c", "X"), ("f", "g")]
    assert [one["row"] for one in told["added"]] == [8] and not told["removed"] and told["same"] == 5


def test_a_version_that_fails_leaves_nothing(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [CHAT])
    with pytest.raises(DataError, match="no row is left"):
        editing.saved(data, "a.jsonl", "ann", "labels")
    with pytest.raises(DataError, match="author"):
        editing.saved(data, "a.jsonl", " ", "edits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "runs"]


def test_judgements_become_labels_and_preferences(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [CHAT] * 5)
    for row, action, value in (
        (1, "label", True),
        (2, "rate", 2),
        (3, "rate", 3),
        (4, "correct", "您好"),
        (5, "skip", True),
    ):
        editing.noted(data, "a.jsonl", row, "ann", action, value)
    editing.noted(data, "a.jsonl", 1, "bob", "label", False)
    editing.noted(data, "a.jsonl", 1, "cem", "rate", 5)
    made = editing.saved(data, "a.jsonl", "ann", "labels")
    assert [json.loads(line)["label"] for line in texts(tmp_path / made["path"])] == [True, False]
    assert made["changes"] == {"good": 1, "bad": 1, "without_label": 3}
    pairs = editing.saved(data, "a.jsonl", "ann", "preferences")
    (line,) = texts(tmp_path / pairs["path"])
    assert Reading("openai").row(json.loads(line))[0] == {
        "prompt": CHAT["messages"][:1],
        "chosen": [{"role": "assistant", "content": "您好"}],
        "rejected": CHAT["messages"][1:],
    }


def test_the_better_answer_stands_first_in_a_version(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [PAIR] * 4)
    for row, value in ((1, "rejected"), (2, "tie"), (3, "chosen")):
        editing.noted(data, "a.jsonl", row, "ann", "choose", value)
    made = editing.saved(data, "a.jsonl", "ann", "preferences", only_judged=True)
    rows = [json.loads(line) for line in texts(tmp_path / made["path"])]
    assert [row["chosen"][0]["content"] for row in rows] == ["5", "4"]
    assert made["changes"] == {"swapped": 1, "ties": 1, "not_judged": 1}
    whole = editing.saved(data, "a.jsonl", "ann", "edits")
    assert [json.loads(line)["chosen"][0]["content"] for line in texts(tmp_path / whole["path"])] == [
        "5",
        "4",
        "4",
        "4",
    ]


def test_samples_parts_and_merged_sets(data: Data, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ALPACA)
    write(tmp_path / "b.jsonl", [CHAT])
    told = editing.made(data, "split", ["a.jsonl"], "train.jsonl", rest="test.jsonl", count=0.34)
    train, test = texts(tmp_path / "train.jsonl"), texts(tmp_path / "test.jsonl")
    assert (told["rows"], told["held_out"]) == (len(train), len(test)) == (4, 2)
    assert sorted(train + test) == sorted(texts(tmp_path / "a.jsonl"))
    assert editing.made(data, "merge", ["a.jsonl", "b.jsonl"], "m.jsonl")["rows"] == 7
    assert {guess(json.loads(line)) for line in texts(tmp_path / "m.jsonl")} == {"openai"}
    assert editing.made(data, "sample", ["a.jsonl"], "s.jsonl", count=3)["rows"] == 3
    with pytest.raises(TunesmithError, match="exists already"):
        editing.made(data, "sample", ["a.jsonl"], "s.jsonl", count=3)
    with pytest.raises(DataError, match="leaves one part empty"):
        shaping.split(data.opened("b.jsonl"), tmp_path / "x.jsonl", tmp_path / "y.jsonl", 0.5)
    with pytest.raises(OutsideWorkspace):
        editing.made(data, "sample", ["a.jsonl"], "../out.jsonl", count=3)


def test_rows_are_appended_behind_a_line_without_end(data: Data, tmp_path: Path) -> None:
    assert data.append("new/a.jsonl", CHAT) == 1
    (tmp_path / "b.jsonl").write_text('{"text": "no line end"}')
    assert data.append("b.jsonl", {"text": "zwei"}) == 2
    assert [json.loads(line)["text"] for line in texts(tmp_path / "b.jsonl")] == ["no line end", "zwei"]
    with pytest.raises(OutsideWorkspace):
        data.append("../b.jsonl", CHAT)
    with pytest.raises(DataError, match=r"\.jsonl"):
        data.append("b.json", CHAT)


def test_the_registry_is_changed_entry_by_entry(tmp_path: Path) -> None:
    own = tmp_path / registry.NAME
    own.parent.mkdir()
    own.write_text(
        "# ours\nfirst: org/one\n\n# two\nsecond:\n  path: ../b.jsonl\n  columns: {prompt: q}\nthird: org/three\n"
    )
    write(tmp_path / "b.jsonl", [CHAT])
    registry.save(tmp_path, "second", {"path": "b.jsonl", "format": "openai", "split": ""})
    registry.save(tmp_path, "fourth", {"path": "org/four", "columns": {"prompt": "frage"}})
    registry.forget(tmp_path, "first")
    text = own.read_text()
    assert "# ours" in text and "# two" in text and "third: org/three" in text and "first" not in text
    found = registry.entries(tmp_path)
    assert list(found)[:3] == ["second", "third", "fourth"] and found["fourth"]["columns"] == {"prompt": "frage"}
    assert found["second"] == {"path": str(tmp_path / "b.jsonl"), "format": "openai", "file": own}
    for name, options in (("no/slash", {"path": "x"}), ("x", {})):
        with pytest.raises(DataError):
            registry.save(tmp_path, name, options)
    with pytest.raises(DataError, match="no entry"):
        registry.forget(tmp_path, "first")


def test_dataset_info_is_read_with_its_columns(data: Data, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "q.jsonl", [{"frage": "Wer?", "antwort": "Ich."}])
    info = {"mine": {"file_name": "q.jsonl", "columns": {"prompt": "frage", "response": "antwort"}}}
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))
    (item,) = rows_of(data, "mine", Wanted())["items"]
    assert [one["content"] for one in item["content"]["messages"]] == ["Wer?", "Ich."]
    assert data.about("mine")["format"] == "alpaca" and data.named("mine").words[0].endswith("q.jsonl")


def test_media_are_found_beside_the_set_and_nowhere_outside(data: Data, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    write(tmp_path / "sets" / "a.jsonl", [CHAT])
    (tmp_path / "sets" / "p.png").write_bytes(b"png")
    assert media_file(data, "p.png", "sets/a.jsonl") == tmp_path / "sets" / "p.png"
    for path in ("../../etc/passwd", "/etc/passwd"):
        with pytest.raises(OutsideWorkspace):
            media_file(data, path, "sets/a.jsonl")
    with pytest.raises(DataError, match="no such file"):
        media_file(data, "q.png", "sets/a.jsonl")


def test_what_models_and_runs_have_is_no_data(data: Data, tmp_path: Path) -> None:
    for folder in ("runs/one", "model", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder / "x.jsonl", [CHAT])
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "settings.json").write_text('{"no": "list"}')
    (tmp_path / "requirements.txt").write_text("torch")
    write(tmp_path / "a.jsonl", [CHAT])
    assert [one["name"] for one in data.listed() if one["kind"] == "file"] == ["a.jsonl"]
    assert data.listed("zzz") == []
