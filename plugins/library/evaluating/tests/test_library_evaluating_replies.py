"""Replies to rows: those that cannot be measured are counted and said, and keep the others' places."""

import pytest
from tunesmith import DataError
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.replies import replies
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import handle_of


def row(question, answer=None):
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    return {"messages": [{"role": "user", "content": question}, *said]}


def data(**sets):
    return EvaluationData(rows=lambda: sets, examples=dict)


def test_rows_without_an_answer_are_left_out(tiny_llama, tiny_bpe, caplog):
    caplog.set_level("INFO", logger="tunesmith")
    sets = data(one=[row("a?", "a"), row("b?"), row("c?", " "), row("d?", "d")], none=[row("e?")], empty=[])
    with scripted_chat(handle_of(tiny_llama, tiny_bpe), lambda prompt: "Yes.") as chat:
        found = replies(chat, sets, Asking(limit=10), "mine")
    assert [(it.index, it.prompt.answer) for it in found["one"]] == [(0, "a"), (3, "d")] and list(found) == ["one"]
    assert "data set one: 2 of 4 examples left out (they have no expected answer)" in caplog.text
    record = found["one"][1].record(right=1.0)
    assert (record["dataset"], record["index"], record["right"], record["answer"]) == ("one", 3, 1.0, "d")
    assert record["prediction"] == "Yes."


def test_nothing_to_measure_is_told_before_anything_is_loaded(tiny_llama, tiny_bpe):
    with (
        scripted_chat(handle_of(tiny_llama, tiny_bpe), lambda prompt: pytest.fail("asked")) as chat,
        pytest.raises(DataError, match=r"mine: no evaluation set .*\n  1 examples have no expected answer$"),
    ):
        replies(chat, data(one=[row("b?")]), Asking(), "mine")
