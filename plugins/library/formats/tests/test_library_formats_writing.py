"""Rows as records of other formats: what is written, what is refused, what is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_formats import tallying
from tunesmith_library_formats.writing import to_alpaca, to_openai, to_sharegpt, to_text

ASKED = {"role": "user", "content": "Who?"}
ANSWER = {"role": "assistant", "content": "Me."}
FUNCTION = {"name": "look", "arguments": {"at": "it"}}
CALL = {"role": "assistant", "content": "Wait.", "tool_calls": [{"type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "content": "seen"}
SYSTEM = {"role": "system", "content": "Be kind."}


def test_conversations_pairs_and_labels_in_alpacas_words() -> None:
    assert to_alpaca({"messages": [SYSTEM, ASKED, ANSWER, {**ASKED, "content": "Why?"}, ANSWER]}) == {
        **{"instruction": "Why?", "input": "", "output": "Me."},
        **{"history": [["Who?", "Me."]], "system": "Be kind."},
    }
    pair = {"prompt": [ASKED], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "You."}]}
    assert to_alpaca(pair) == {"instruction": "Who?", "input": "", "chosen": "Me.", "rejected": "You."}
    labelled = {"prompt": [ASKED], "completion": [ANSWER], "label": False}
    assert to_alpaca(labelled) == {"instruction": "Who?", "input": "", "output": "Me.", "kto_tag": False}
    assert to_alpaca({"prompt": [ASKED]}) == {"instruction": "Who?", "input": ""}


def test_calls_are_json_text_where_they_are_read_as_such() -> None:
    row = {"messages": [ASKED, CALL, RESULT, ANSWER], "tools": [{"type": "function", "function": {"name": "look"}}]}
    made = to_sharegpt(row)
    assert [turn["from"] for turn in made["conversations"]] == ["human", "gpt", "function_call", "observation", "gpt"]
    assert json.loads(made["conversations"][2]["value"]) == FUNCTION
    assert json.loads(made["tools"]) == [{"name": "look"}]
    assert json.loads(to_openai(row)["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"at": "it"}


@pytest.mark.parametrize(
    ("write", "row"),
    [
        (to_alpaca, {"messages": [ASKED, CALL, RESULT, ANSWER]}),
        (to_alpaca, {"messages": [ANSWER, ASKED]}),
        (to_alpaca, {"text": "a"}),
        (to_sharegpt, {"messages": [ASKED, SYSTEM, ANSWER]}),
        (to_sharegpt, {"prompt": [ASKED], "chosen": [ANSWER, ASKED], "rejected": [ANSWER]}),
        (to_text, {"messages": [ASKED, ANSWER]}),
    ],
)
def test_what_a_format_has_no_place_for_is_refused(write: Any, row: Any) -> None:
    with pytest.raises(DataError):
        write(row)


def test_what_is_lost_is_counted() -> None:
    with tallying() as tally:
        to_sharegpt({"messages": [ASKED, {**ANSWER, "reasoning": "Hm.", "weight": 0.5}]})
    assert sorted(share.what.split("`")[1] for share in tally.shares.values()) == ["reasoning", "weight"]
