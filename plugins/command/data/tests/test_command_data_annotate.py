"""Judging rows at a terminal: what keys note, what the web page finds of it, and a real terminal."""

from __future__ import annotations

import io
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from tunesmith import DataError
from tunesmith_command_data import Data as Command
from tunesmith_command_data.annotating import Session, opened, save
from tunesmith_command_data.keys import Keys
from tunesmith_command_data.row_view import lines_of, plain, sides
from tunesmith_library_studio.data.sets import Data
from tunesmith_library_studio.workspace import Workspace


def chat(number: int) -> dict[str, Any]:
    question, answer = {"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "yes"}
    return {"messages": [question, answer]}


def pair(number: int) -> dict[str, Any]:
    good, bad = ({"role": "assistant", "content": text} for text in ("the good one", "the bad one"))
    return {"prompt": [{"role": "user", "content": f"{number}?"}], "chosen": [good], "rejected": [bad]}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "chats.jsonl", [chat(1), chat(2), {"strange": 1}, chat(4), chat(5)])
    write(tmp_path / "pairs.jsonl", [pair(number) for number in range(1, 5)])
    return tmp_path


def judged(monkeypatch: pytest.MonkeyPatch, file: str, keys: list[str], author: str = "anna", **given: Any) -> str:
    """What a person sees who types some keys, then q."""
    typed: Iterator[str] = iter([*keys, "q"])
    monkeypatch.setattr(Keys, "_more", lambda self: next(typed))
    monkeypatch.setattr(Keys, "away", lambda self: nullcontext())
    written = io.StringIO()
    with opened(file, Path("runs")) as (layer, data):
        Session(layer, data, author, Keys(), Console(file=written, width=100, highlight=False), **given).run()
    return written.getvalue()


def opinions(file: str) -> dict[int, dict[str, Any]]:
    """What the web page, started in the same folder, has of the rows."""
    layer = Data(Workspace(Path("runs")))
    marks = layer.journal(file).marks()
    return {row: {name: one.to_json() for name, one in of.opinions.items()} for row, of in marks.items()}


def test_words_are_in_the_users_language_and_data_are_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESMITH_LANG", "zh")
    text = "there is nothing to take back"  # is a message, too
    write(folder / "said.jsonl", [{"messages": [{"role": "user", "content": text}]}, chat(2)])
    shown = judged(monkeypatch, "said.jsonl", ["u", "j", "n", "w", "l"])
    shown += judged(monkeypatch, "said.jsonl", ["j"], everything=True)
    assert f"user:\n{text}\n" in shown and "没有可撤销的" in shown
    assert [
        words for words in ("a b t  成对回答", "第 2 行，共 2 行", "你的意见： label False") if words not in shown
    ] == []
    assert "1 个坏" in capsys.readouterr().out
    assert not any(words in shown for words in ("judged", "skip", "you said", "row"))


def test_keys_are_noted_where_the_web_page_has_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other; what no format reads is passed over, and counted."""
    before = (folder / "chats.jsonl").read_bytes()
    shown = judged(monkeypatch, "chats.jsonl", ["y", "f", "n", "3s"])
    assert opinions("chats.jsonl") == {
        1: {"anna": {"label": True}},
        2: {"anna": {"label": False, "tags": ["flag"]}},
        4: {"anna": {"rate": 3}},
        5: {"anna": {"skip": True}},
    }
    assert "question 4" in shown and "row 2 of 5 · 1 judged by you" in shown and "no row is left" in shown
    assert "4 of 5 rows judged by anna" in shown and "their format cannot read: 1" in shown
    assert (folder / "chats.jsonl").read_bytes() == before


def test_who_comes_back_is_where_they_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind rows that were only looked at; another person begins at the first row, and agreement is told."""
    judged(monkeypatch, "chats.jsonl", ["y", "j", " ", "k"])
    shown = judged(monkeypatch, "chats.jsonl", [])
    assert "row 4 of 5 · 1 judged by you" in shown and "row 2" not in shown
    shown = judged(monkeypatch, "chats.jsonl", ["y"], author="ben")
    assert "row 1 of 5 · 0 judged by you" in shown and "label: 100% agree in 1 rows" in shown


def test_undo_go_and_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter(["1", "9"])
    monkeypatch.setattr(Console, "input", lambda *given, **more: next(asked))
    shown = judged(monkeypatch, "chats.jsonl", ["n", "u", "y", "g", "o", "g", "\x1b[B", "x", "?"])
    assert opinions("chats.jsonl")[1] == {"anna": {"label": True}}
    for said in (
        "taken back: label of row 1",
        "you said: label True",
        "there is no row 9",
        "all rows",
        "x does nothing",
    ):
        assert said in shown
    assert "there is nothing to take back" in judged(monkeypatch, "chats.jsonl", ["u"], author="ben")


def test_the_better_answer_is_chosen_without_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two is A changes from row to row, and is told in the answer's own letter."""
    firsts = [sides(row, "anna")[0] for row in range(1, 200)]
    assert 60 < firsts.count("chosen") < 140
    shown = judged(monkeypatch, "pairs.jsonl", ["a", "b", "t"])
    found = opinions("pairs.jsonl")
    assert [found[row]["anna"]["choose"] for row in (1, 2, 3)] == [firsts[0], sides(2, "anna")[1], "tie"]
    assert "chosen" not in shown and "answer A" in shown
    assert "you said: choose A" in judged(monkeypatch, "pairs.jsonl", ["k", "k", "k"])


def test_a_correction_by_an_editor_becomes_a_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original stays; an editor that fails or changes nothing notes nothing."""
    edited = iter(["no, never\n", None, "yes\n"])
    monkeypatch.setattr(click, "edit", lambda text, **given: next(edited))
    shown = judged(monkeypatch, "chats.jsonl", ["e", "e", "e", "we"])
    assert opinions("chats.jsonl") == {1: {"anna": {"correct": "no, never"}}}
    assert shown.count("not changed") == 2
    rows = [json.loads(line) for line in (folder / "chats.v2.jsonl").read_text().splitlines()]
    assert rows[0]["messages"][1]["content"] == "no, never" and rows[1:] == [chat(2), {"strange": 1}, chat(4), chat(5)]


def test_labels_are_saved_without_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, "chats.jsonl", ["y", "n"])
    command = Command().command()
    told = CliRunner().invoke(command, ["annotate", "chats.jsonl", "--by", "anna", "--save", "labels"])
    assert "done: chats.v2.jsonl (2 rows; 1 good, 1 bad, 3 without label)" in told.output
    rows = [json.loads(line) for line in (folder / "chats.v2.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [True, False]
    with pytest.raises(DataError, match="no row is left"):
        save("pairs.jsonl", "anna", Path("runs"), "labels", only_judged=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chats.jsonl"], "needs a terminal"),
        (["nowhere.jsonl", "--save", "labels"], "there is no such file"),
        (["chats.jsonl", "--by", " ", "--save", "labels"], "an author's name is needed"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, words: list[str], said: str) -> None:
    told = CliRunner().invoke(Command().command(), ["annotate", *words])
    assert said in str(told.exception)


def test_control_characters_of_data_are_shown_and_not_obeyed() -> None:
    """A row may come from anybody: it must not move the cursor or change the title of a terminal."""
    assert plain("a\x1b]0;title\x07\r\n\tb\x9b") == "a\\x1b]0;title\\x07\n\tb\\x9b"
    row = {"messages": [{"role": "assistant\x1b[2J", "content": [{"type": "image", "image": "\x1b[31m.png"}]}]}
    assert "\x1b" not in "".join(line.plain for line in lines_of({**row, "name\x1b": "\x1b"}, ("chosen", "rejected")))


@pytest.mark.slow
def test_a_real_terminal(folder: Path) -> None:
    """Keys that are typed fast, an editor, the end: the command as a person starts it."""
    pty = pytest.importorskip("pty")
    editor = folder / "editor"
    editor.write_text('#!/bin/sh\nprintf corrected > "$1"\n')
    editor.chmod(0o755)
    words = [sys.executable, "-m", "tunesmith", "data", "annotate", "chats.jsonl", "--by", "anna"]
    process, terminal = pty.fork()
    if process == 0:
        os.execve(words[0], words, {**os.environ, "EDITOR": str(editor), "TERM": "xterm", "COLUMNS": "100"})
    shown = b""

    def until(mark: str) -> None:
        nonlocal shown
        start, end = len(shown), time.monotonic() + 30
        while mark.encode() not in shown[start:]:
            assert time.monotonic() < end, f"{mark!r} did not come: {shown[start:].decode()}"
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536)

    until("question 1")
    for keys, mark in (
        ("yn", "question 4"),
        ("e", "question 5"),
        ("g", "row (1 to 5)"),
        ("2\r", "you said"),
        ("q", "to go on"),
    ):
        os.write(terminal, keys.encode())
        until(mark)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert opinions("chats.jsonl") == {
        1: {"anna": {"label": True}},
        2: {"anna": {"label": False}},
        4: {"anna": {"correct": "corrected"}},
    }
    assert b"\x1b[1;36m" in shown
