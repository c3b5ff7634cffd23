"""`tunesmith data answer`: one answer to each request, and the preview of what a run would train on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_command_data import previewing
from tunesmith_command_data.answering import answer_all

ROWS = [{"instruction": f"Ask {n}", "output": f"Answer {n}"} for n in range(1, 4)]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(ROWS))

    def asked(*requests: dict[str, Any]) -> list[dict[str, Any]]:
        answers = io.StringIO()
        answer_all(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), answers)
        return [json.loads(line) for line in answers.getvalue().splitlines()]

    return asked


def test_requests_are_answered_one_by_one_and_a_fault_ends_nothing(
    ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ask(
        {"do": "check", "words": ["a.json"]},
        {"do": "check", "words": ["missing.json"]},
        {"do": "nothing"},
        {"do": "convert", "words": ["a.json"], "out": "b.jsonl", "format": "openai"},
        {"do": "stats", "words": ["b.jsonl"]},
        {"do": "contamination", "words": ["a.json"], "held_out": ["b.jsonl"]},
    )
    assert answers[0]["result"]["sets"]["a.json"]["rows"] == 3
    assert "missing.json" in answers[1]["error"] and "KeyError" in answers[2]["error"]
    assert answers[3]["result"] == {"left_out": 0} and Path("b.jsonl").read_text().count("\n") == 3
    assert answers[4]["result"]["sets"]["b.jsonl"]["rows"] and answers[5]["result"]["sets"]["b.jsonl"]["too_short"] == 3
    assert capsys.readouterr().out == ""  # answers are alone there


def test_records_are_written_as_lines_and_what_cannot_be_read_is_told(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('text\n"one, two"\n一\n')
    (tmp_path / "d.json").write_text('[{"text": "one"}, {"text": ')
    first, second, third = ask(
        {"do": "rows", "data": "c.csv", "out": "c.jsonl"},
        {"do": "rows", "data": "d.json", "out": "d.jsonl"},
        {"do": "rows", "data": "a.json", "out": "e.jsonl", "most": 2},
    )
    assert [json.loads(line) for line in Path("c.jsonl").read_text().splitlines()] == [
        {"text": "one, two"},
        {"text": "一"},
    ]
    assert first["result"] == {"rows": 2, "fault": ""} and third["result"]["rows"] == 2
    assert "d.json, line 1" in second["error"] and not Path("d.jsonl").exists()


def test_a_set_is_written_without_its_faults(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({**ROWS[0], "output": text}) + "\n" for text in ("one two", "one two", ""))
    )
    (answer,) = ask({"do": "check", "words": ["t.jsonl"], "fix": "u.jsonl"})
    assert answer["result"]["errors"] == 1
    assert [json.loads(line)["output"] for line in Path("u.jsonl").read_text().splitlines()] == ["one two"]


class Words:
    """A tokenizer of words that leaves the space before a first one away; 9 and 10 are half a character each."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        text = "".join("�" if token in (9, 10) else f" w{token}" for token in ids)
        return text.replace("��", "é").lstrip(" ")


def test_pieces_are_what_each_token_adds_and_characters_stay_whole() -> None:
    pieces = list(previewing._pieces(Words(), [1, 2, 9, 10, 3]))
    assert pieces == [("w1", 1), (" w2", 1), ("é", 2), (" w3", 1)]


def test_spans_follow_labels_and_weights() -> None:
    part = previewing._part("", [1, 2, 9, 10, 3], [-100, 2, 9, 10, 3], [1, 1, 1, 1, 2.5], Words())
    assert [(span["tokens"], span["trained"], span["weight"]) for span in part["spans"]] == [
        (["w1"], False, 0.0),
        ([" w2", "é"], True, 1.0),
        ([" w3"], True, 2.5),
    ]
    assert part["tokens"] == 5 and part["trained"] == 4
    prompt = previewing._part("", [1, 2], None, None, Words())
    assert prompt["trained"] is None and prompt["spans"][0]["trained"] is None


def test_lengths_are_counted_in_bars_of_the_same_width() -> None:
    told = previewing._lengths([1, 24, 25, 48, 240])
    assert sum(bar["rows"] for bar in told["histogram"]) == 5 and told["histogram"][-1]["up_to"] == 240
    assert [bar["rows"] for bar in told["histogram"][:5]] == [1, 0, 2, 0, 1] and len(told["histogram"]) == 24
    assert told["at_max"] == 1
    assert previewing._lengths([])["rows"] == 0


@pytest.fixture
def reader(tiny_bpe: Any, tmp_path: Path) -> Path:
    """The folder of a model without weights."""
    tiny_bpe.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama", "vocab_size": 400, "hidden_size": 64}')
    return tmp_path / "model"


def test_a_preview_shows_what_is_trained_and_keeps_the_tokenizer(ask: Any, reader: Path) -> None:
    configuration = {
        "model": {"path": str(reader)},
        "stage": "sft",
        "template": "chatml",
        "data": {"train": ["a.json"]},
    }
    first, second, third = ask(
        {"do": "preview", "configuration": configuration, "count": 2},
        {"do": "preview", "configuration": {**configuration, "data": {"train": ["a.json"], "max_samples": 1}}},
        {"do": "preview", "configuration": {**configuration, "data": {}}},
    )
    assert first["result"]["sets"] == {"train": 3} and len(first["result"]["examples"]) == 2
    (part,) = first["result"]["examples"][0]["parts"]
    trained = "".join(token for span in part["spans"] if span["trained"] for token in span["tokens"])
    assert "Answer 1" in trained and "Ask 1" not in trained
    assert first["result"]["trained"]["trained"] < first["result"]["trained"]["tokens"]
    announced = [note["message"] for note in first["notes"]]
    assert sum(message.startswith("data a:") for message in announced) == 1  # and not again of the checks
    assert second["result"]["sets"] == {"train": 1} and "no training data" in third["error"]
    assert len(previewing._readers) == 1
