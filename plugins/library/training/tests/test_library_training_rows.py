"""Rows of the wrong shape: what is said of them, and which stages they would suit."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith.traits import StageTraits
from tunesmith_library_formats import tallying
from tunesmith_library_training.rows import other_stages, require, text_only, usable, warn_once


def stage(*reads: str) -> type:
    """The class of a stage that says what it reads."""
    return type("Stage", (), {"traits": StageTraits(reads=reads)})


class DependsOnOptions:
    """A stage whose traits are a property of its options."""

    @property
    def traits(self) -> StageTraits:
        return StageTraits(reads=("prompt",), reference=True)


INSTALLED = {
    "chats": stage("messages"),
    "texts": stage("text"),
    "pairs": stage("prompt", "chosen", "rejected"),
    "other_pairs": stage("prompt", "chosen", "rejected"),
    "prompts": DependsOnOptions,
    "silent": type("Silent", (), {}),
}


def advice(selected: str, row: dict[str, Any]) -> str:
    return other_stages(SimpleNamespace(name=lambda kind: selected, installed=lambda kind: INSTALLED))(row)


def test_advice() -> None:
    """The stages that read most of a row, and never the one that refused it."""
    assert advice("chats", {"text": "a"}) == "stage=texts"
    assert advice("chats", {"prompt": [], "answer": "a"}) == "stage=prompts"
    assert advice("chats", {"prompt": [], "chosen": [], "rejected": []}) == "stage=other_pairs or pairs"
    assert advice("pairs", {"prompt": [], "chosen": [], "rejected": []}) == "stage=other_pairs"
    assert advice("chats", {"messages": []}) == advice("chats", {"colour": "green"}) == "choose another format"


def test_several_suit() -> None:
    plan = SimpleNamespace(name=lambda kind: None, installed=lambda kind: dict.fromkeys("cab", stage("text")))
    assert other_stages(plan)({"text": "a"}) == "stage=a, b or c"


def test_nothing_is_imported_before_it_is_asked() -> None:
    def installed(kind: str) -> dict[str, type]:
        raise AssertionError("the stages were imported")

    advise = other_stages(SimpleNamespace(name=lambda kind: "chats", installed=installed))
    require({"messages": []}, ("messages",), "chats", advise)


def test_require() -> None:
    require({"prompt": [], "answer": "a", "images": []}, ("prompt", "answer"), "mine")
    with pytest.raises(DataError) as raised:
        require({"prompt": [], "text": "a"}, ("prompt", "answer"), "mine", lambda row: f"stage={len(row)}")
    assert str(raised.value) == "stage.mine needs rows with `answer`; these have prompt, text.\n  stage=2"
    with pytest.raises(
        DataError, match=r"needs rows with `label`; these have messages\.\n  the label of a record must"
    ):
        require({"messages": []}, ("prompt", "completion", "label"), "mine")
    with pytest.raises(DataError, match="choose another format"):
        require({"text": "a"}, ("prompt",), "mine")
    with pytest.raises(DataError, match=r"stage\.mine trains on text; this row has images"):
        text_only({"text": "a", "images": ["a.png"]}, "mine")
    text_only({"text": "a", "images": []}, "mine")


def test_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    said: set[str] = set()
    with caplog.at_level(logging.WARNING, "tunesmith"):
        for count in (0, 2, 1):
            warn_once(said, "mine", count, [{}] * 3, "are left out")
        warn_once(said, "mine", 1, [{}] * 3, "lose their end")
    assert caplog.messages == [
        "stage.mine: 2 of the first 3 rows are left out",
        "stage.mine: 1 of the first 3 rows lose their end",
    ]


def said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ASKED, GOOD = said("user", "Who?"), said("assistant", "A whale.")
EMPTY, BLANK = said("assistant", ""), said("assistant", " \n")
CALL = said("assistant", "", tool_calls=[{"function": {"name": "look"}}])


def counted(rows: list[dict[str, Any]], *reads: str, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows that are left, and the counts by their first words and whether they are lost."""
    with tallying() as tally:
        kept = usable(rows, reads, "mine", set(), lambda row: "stage=prompts", **options)
    assert len(kept) == len(rows) - tally.lost
    return kept, {share.what: share.count for share in tally.shares.values()}


def test_rows_without_an_answer_are_left_out() -> None:
    """One among many must not end the run, nor teach the model to say nothing."""
    good = [{"messages": [ASKED, GOOD]}, {"messages": [ASKED, CALL, said("tool", ""), GOOD]}]
    bad = [{"prompt": [ASKED]}, {"messages": [ASKED, EMPTY]}, {"messages": [ASKED, BLANK, ASKED, GOOD]}]
    untrained = {"messages": [ASKED, {**EMPTY, "weight": 0.0}, ASKED, GOOD]}
    kept, counts = counted([*good, *bad, untrained], "messages")
    assert kept == [*good, untrained]
    assert counts == {"have no answer and are left out": 1, "have an empty answer and are left out": 2}
    assert counted(bad[2:], "messages", last_only=True) == (bad[2:], {})
    assert counted([{"messages": [said("user", ""), GOOD]}], "messages")[1] == {"have an empty question": 1}


def test_pairs_that_teach_little() -> None:
    def pair(chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": [ASKED], "chosen": [chosen], "rejected": [rejected]}

    same, none, unsaid = pair(GOOD, GOOD), pair(EMPTY, GOOD), pair(GOOD, EMPTY)
    kept, counts = counted([same, none, unsaid, pair(GOOD, CALL)], "prompt", "chosen", "rejected")
    assert kept == [same, unsaid, pair(GOOD, CALL)]
    assert counts == {
        "have the same chosen and rejected answer, which tells nothing": 1,
        "have an empty answer and are left out": 1,
        "have an empty rejected answer": 1,
    }
    labelled = {"prompt": [ASKED], "completion": [EMPTY], "label": True}
    assert counted([labelled], "prompt", "completion", "label")[0] == []
    with pytest.raises(DataError, match="needs rows with `chosen`"):
        usable([{"messages": [ASKED, GOOD]}], ("chosen",), "mine", set())
