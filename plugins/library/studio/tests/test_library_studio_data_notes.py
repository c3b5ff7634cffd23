"""Notes about rows, agreement, uploads, prompts, and the process that is asked."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith import DataError, TunesmithError
from tunesmith_library_studio.data import Data, editing
from tunesmith_library_studio.data.agreement import agreement, alpha, by_author
from tunesmith_library_studio.data.browsing import Wanted, rows_of
from tunesmith_library_studio.data.journal import Conflict, Journal
from tunesmith_library_studio.data.prompts import Prompts, filled, variables
from tunesmith_library_studio.data.uploads import PIECE, Uploads
from tunesmith_library_studio.data.worker import Worker
from tunesmith_library_studio.workspace import Workspace


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "notes.jsonl")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    made = Data(Workspace(Path("runs"), tmp_path))
    yield made
    made.close()


def test_notes_of_several_people_stand_side_by_side(journal: Journal) -> None:
    journal.note(3, "ann", "rate", 4)
    journal.note(3, "ann", "rate", 5)
    journal.note(3, "bob", "label", False)
    opinions = journal.marks()[3].opinions
    assert opinions["ann"].rate == 5 and opinions["bob"].label is False
    assert by_author(journal.marks()) == {"ann": 1, "bob": 1}


def test_who_changes_a_row_that_another_changed_is_told(journal: Journal) -> None:
    first = journal.note(1, "ann", "edit", {"text": "a"}, revision=0)
    with pytest.raises(Conflict, match="changed by ann"):
        journal.note(1, "bob", "edit", {"text": "b"}, revision=0)
    journal.note(1, "bob", "edit", {"text": "b"}, revision=first.revision)
    assert journal.marks()[1].record == {"text": "b"}
    with pytest.raises(Conflict, match="after you"):
        journal.undo("ann")


def test_no_change_is_lost_among_people_at_once(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "n.jsonl")] * 4
    wins: list[str] = []

    def work(name: str, own: Journal) -> None:
        for row in range(1, 31):
            own.note(row, name, "rate", 3)
            try:
                own.note(row, name, "edit", {"text": name}, revision=0)
                wins.append(f"{row}")
            except Conflict:
                pass

    threads = [threading.Thread(target=work, args=(f"p{at}", own)) for at, own in enumerate(journals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Journal(tmp_path / "n.jsonl").marks()
    assert sorted(wins, key=int) == [f"{row}" for row in range(1, 31)]  # of each row exactly one won
    assert all(len(again[row].opinions) == 4 for row in range(1, 31))


def test_what_another_server_notes_is_seen_and_half_a_line_waits(tmp_path: Path) -> None:
    one, other = Journal(tmp_path / "n.jsonl"), Journal(tmp_path / "n.jsonl")
    one.note(1, "ann", "label", True)
    assert other.marks()[1].opinions["ann"].label is True
    with (tmp_path / "n.jsonl").open("a") as stream:
        stream.write('{"number": 2, "row": 2')
    assert list(one.marks()) == [1]


def test_undo_takes_back_step_by_step(journal: Journal) -> None:
    changed = journal.note(1, "ann", "edit", {"text": "a"}, revision=0)
    journal.note(1, "ann", "delete", True, revision=changed.revision)
    journal.note(2, "ann", "tags", ["odd"])
    journal.note(2, "bob", "rate", 1)
    undone = [journal.undo("ann") for _ in range(4)]
    assert [one and one["action"] for one in undone] == ["tags", "delete", "edit", None]
    assert journal.marks()[1].record is None and not journal.marks()[1].deleted
    assert journal.marks()[2].opinions["bob"].rate == 1 and len(journal.history(1)) == 4


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("rate", 6),
        ("rate", "5"),
        ("label", 1),
        ("choose", "A"),
        ("edit", [1]),
        ("delete", None),
        ("tags", "x"),
        ("x", 1),
    ],
)
def test_values_that_cannot_be_are_refused(journal: Journal, action: Any, value: Any) -> None:
    with pytest.raises(DataError, match="possible"):
        journal.note(1, "ann", action, value, revision=0)
    assert not journal.marks()


def test_alpha_is_that_of_the_textbook() -> None:
    # Krippendorff (2011), Computing Krippendorff's alpha-reliability, the example of 4 observers: 0.743, interval 0.849
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    columns = itertools.zip_longest(*(line.split() for line in observers))
    units = [[int(value) for value in column if value != "."] for column in columns]
    shared = [unit for unit in units if len(unit) > 1]
    assert alpha(shared, squared=False) == pytest.approx(0.743, abs=5e-4)
    assert alpha(shared, squared=True) == pytest.approx(0.849, abs=5e-4)
    assert alpha([[1, 1], [1, 1]], squared=False) is None


def test_agreement_counts_rows_of_several_people(journal: Journal) -> None:
    for row, (one, other) in enumerate([(True, True), (True, False), (False, False)], start=1):
        journal.note(row, "ann", "label", one)
        journal.note(row, "bob", "label", other)
    journal.note(4, "ann", "label", True)
    told = agreement(journal.marks().values())
    assert told["label"]["rows"] == 3 and told["label"]["share"] == pytest.approx(2 / 3) and "rate" not in told


def test_rows_are_filtered_by_their_marks(data: Data, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": "x" * n}) + "\n" for n in range(1, 7)))
    for row, action, value in ((1, "label", True), (2, "rate", 1), (3, "skip", True), (4, "tags", ["odd"])):
        editing.noted(data, "a.jsonl", row, "ann", action, value)
    editing.noted(data, "a.jsonl", 5, "bob", "edit", {"text": "new"}, revision=0)

    def rows(**wanted: Any) -> list[int]:
        return [item["row"] for item in rows_of(data, "a.jsonl", Wanted(**wanted))["items"]]

    assert rows(marked="good") == [1] and rows(marked="bad") == [2] and rows(marked="skipped") == [3]
    assert rows(marked="tag:odd") == [4] and rows(marked="edited") == [5] and rows(marked="judged") == [1, 2, 3]
    assert rows(search="NEW") == [5] and rows(search="xxxxx") == [6]
    assert rows(marked="unjudged", author="bob") == [1, 2, 3, 4, 5, 6]
    assert rows(shortest=len('{"text": "xxxxx"}')) == [6] and rows(longest=len('{"text": "x"}')) == [1]
    (tmp_path / "zh.jsonl").write_text('{"text": "鲸鱼"}\n{"text": "whales"}\n', "utf-8")
    found = rows_of(data, "zh.jsonl", Wanted(longest=len('{"text": "鲸鱼"}')))["items"]
    assert [item["row"] for item in found] == [1]
    assert rows(only=[6, 2, 99]) == [6, 2]
    with pytest.raises(DataError, match="did you mean"):
        rows(marked="goods")
    with pytest.raises(DataError, match="no row 7"):
        editing.noted(data, "a.jsonl", 7, "ann", "skip", True)


@pytest.mark.parametrize(
    "name",
    ["../a.jsonl", "/etc/a.jsonl", "a/b.jsonl", "a\\b.jsonl", "x.py", ".a.jsonl", "a.zip", "", "a..jsonl", "a\0.json"],
)
def test_names_of_uploads_are_those_of_data_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no name of a data file"):
        Uploads(tmp_path).begin(name, 10, 100)


def test_an_upload_over_the_limit_is_refused_before_and_while_it_comes(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    with pytest.raises(DataError, match="max-upload-bytes"):
        uploads.begin("a.jsonl", 101, 100)
    begun = uploads.begin("a.jsonl", 10, 100)["id"]
    for piece in (b"x" * 11, b"x" * (PIECE + 1)):
        with pytest.raises(DataError, match="more bytes"):
            uploads.add(begun, 0, piece)
    assert uploads.offset(begun) == 0


def test_a_piece_that_got_lost_is_sent_again(data: Data, tmp_path: Path) -> None:
    content = b'{"text": "one"}\n{"text": "zw\xc3\xb6lf"}\n'
    begun = data.uploads.begin("a.jsonl", len(content), 1000)["id"]
    data.uploads.add(begun, 0, content[:20])
    with pytest.raises(DataError, match="send it from there"):
        data.uploads.add(begun, 10, content[10:])
    with pytest.raises(DataError, match=f"20 of {len(content)} bytes"):
        editing.finished(data, begun)
    data.uploads.add(begun, data.uploads.offset(begun), content[20:])
    assert editing.finished(data, begun) == {"path": "data/a.jsonl", "format": "text", "rows": 2}
    assert (tmp_path / "data" / "a.jsonl").read_bytes() == content
    with pytest.raises(TunesmithError, match="no such upload"):
        data.uploads.offset(begun)


def test_what_is_no_data_is_not_kept_and_a_taken_name_gets_a_number(data: Data, tmp_path: Path) -> None:
    for content, says in ((b"import os\n", "no JSON"), (b"\n\n", "empty")):
        begun = data.uploads.begin("a.jsonl", len(content), 1000)["id"]
        data.uploads.add(begun, 0, content)
        with pytest.raises(DataError, match=says):
            editing.finished(data, begun)
    for expected in ("a.jsonl", "a-2.jsonl"):
        begun = data.uploads.begin("a.jsonl", 14, 1000)["id"]
        data.uploads.add(begun, 0, b'{"text": "on"}')
        assert editing.finished(data, begun)["path"] == f"data/{expected}"
    left = list((tmp_path / "runs" / ".studio" / "uploads").iterdir())
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a-2.jsonl", "a.jsonl"] and left == []


def test_ids_of_uploads_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "x.part").write_text("secret")
    for name in ("x", "../x", "0" * 32):
        with pytest.raises(TunesmithError, match="no such upload"):
            Uploads(tmp_path).offset(name)


def test_prompts_have_variables_and_former_versions(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path / "prompts.yaml")
    made = prompts.add(
        {"name": "总结", "text": "Summarize {{ text }} in {{n}} words", "tags": ["short"], "system": "{{who}}"}
    )
    assert made["variables"] == ["who", "text", "n"]
    with pytest.raises(DataError, match="already"):
        prompts.add({"name": "总结"})
    prompts.change("总结", {"text": "Shorter: {{text}}"})
    again = Prompts(tmp_path / "prompts.yaml").get("总结")
    assert again["text"] == "Shorter: {{text}}" and again["versions"][0]["text"].startswith("Summarize")
    assert "总结" in (tmp_path / "prompts.yaml").read_text("utf-8")
    assert prompts.take_in([{"name": "总结", "text": "x"}, {"name": "new", "text": "y"}]) == {
        "added": 1,
        "changed": 1,
        "same": 0,
    }
    assert [one["name"] for one in prompts.listed("SHORT")] == ["总结"] and len(prompts.listed()) == 2
    prompts.remove("总结")
    with pytest.raises(DataError, match="new"):
        prompts.get("nw")
    assert filled("{{a}} {{b}}", {"a": "1"}) == "1 {{b}}" and variables("{{a}}{{ a }}{{b}}") == ["a", "b"]


def test_a_prompts_file_that_is_none_is_told(tmp_path: Path) -> None:
    for text, says in (("prompts: {", "no YAML"), ("other: 1", "a list"), ("prompts: [{text: x}]", "needs a name")):
        (tmp_path / "prompts.yaml").write_text(text)
        with pytest.raises(TunesmithError, match=says):
            Prompts(tmp_path / "prompts.yaml").listed()


@pytest.mark.slow
def test_a_worker_answers_tells_faults_and_ends_when_idle(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "one"}, {"text": "one"}]')
    worker = Worker(tmp_path, idle=0.05)
    assert not worker.runs
    found = worker.ask("check", words=["a.json"])["result"]
    assert {one["check"] for one in found["findings"]} == {"duplicate"}
    for _ in range(200):
        if not worker.runs:
            break
        threading.Event().wait(0.02)
    assert not worker.runs
    with pytest.raises(TunesmithError, match="no answer within"):
        worker.ask("check", timeout=0.01, words=["a.json"])
    assert not worker.runs
