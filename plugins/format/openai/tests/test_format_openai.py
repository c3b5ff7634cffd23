"""The OpenAI format against rows written by hand, and every real file that it can read."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith_format_openai import OpenAI
from tunesmith_library_testing import FormatSuite

ASK = {"role": "user", "content": "How many waves?"}
GOOD = {"role": "assistant", "content": "Nobody counts."}
BAD = {"role": "assistant", "content": "Seven."}
TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {}}}}


def rows(*records, **columns):
    return list(OpenAI().to_rows(records, columns))


def row(record, **columns):
    return rows(record, **columns)[0]


class TestOpenAI(FormatSuite):
    plugin = OpenAI
    records = [
        {"messages": [ASK, GOOD]},
        {"messages": [{"role": "developer", "content": "Be brief."}, ASK, {**GOOD, "weight": 0}, ASK, BAD]},
        {"messages": [ASK, BAD], "label": False},
        {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
    ]
    rows = [
        {"messages": [ASK, GOOD]},
        {"messages": [{"role": "system", "content": "Be brief."}, ASK, {**GOOD, "weight": 0.0}, ASK, BAD]},
        {"prompt": [ASK], "completion": [BAD], "label": False},
        {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
    ]
    renamed = {"messages": "dialogue", "label": "liked"}


def test_parallel_tool_calls_results_and_reasoning():
    calls = [
        {"id": "a", "type": "function", "function": {"name": "count", "arguments": '{"beach": "north"}'}},
        {"id": "b", "type": "function", "function": {"name": "count", "arguments": ""}},
    ]
    record = {
        "messages": [
            ASK,
            {"role": "assistant", "content": None, "reasoning_content": "I must count.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "3"},
            {"role": "tool", "tool_call_id": "b", "content": {"waves": 4}},
            GOOD,
        ],
        "tools": [TOOL],
    }
    made = row(record)
    assert made["tools"] == [TOOL]
    assert made["messages"][1] == {
        "role": "assistant",
        "content": "",
        "reasoning": "I must count.",
        "tool_calls": [
            {"type": "function", "id": "a", "function": {"name": "count", "arguments": {"beach": "north"}}},
            {"type": "function", "id": "b", "function": {"name": "count", "arguments": {}}},
        ],
    }
    assert made["messages"][2] == {"role": "tool", "content": "3", "tool_call_id": "a"}
    assert made["messages"][3]["content"] == '{"waves": 4}'


def test_former_function_call():
    message = {"role": "assistant", "content": "Wait.", "function_call": {"name": "count", "arguments": "{}"}}
    made = row({"messages": [ASK, message, {"role": "function", "name": "count", "content": "7"}]})["messages"]
    assert made[1]["content"] == "Wait." and made[1]["tool_calls"][0]["function"] == {"name": "count", "arguments": {}}
    assert made[2] == {"role": "tool", "name": "count", "content": "7"}


def test_typed_parts():
    picture = {"type": "image_url", "image_url": {"url": "a.png"}}
    parts = [{"type": "text", "text": "What "}, {"type": "text", "text": "is it?"}]
    assert row({"messages": [{"role": "user", "content": parts}, GOOD]})["messages"][0]["content"] == "What is it?"
    assert row({"messages": [{"role": "user", "content": [picture, *parts]}, GOOD]})["messages"][0]["content"] == [
        picture,
        *parts,
    ]


def test_parts_with_values_carry_reasoning_and_calls():
    call = {"type": "tool_call", "value": '{"name": "count", "arguments": {"beach": "north"}}'}
    content = [{"type": "reasoning", "value": "Count."}, {"type": "text", "value": "So:"}, call, call]
    made = row({"messages": [ASK, {"role": "assistant", "content": content, "loss_weight": 0.5}]})["messages"][1]
    call = {"type": "function", "function": {"name": "count", "arguments": {"beach": "north"}}}
    assert made == {
        "role": "assistant",
        "content": "So:",
        "reasoning": "Count.",
        "tool_calls": [call, call],
        "weight": 0.5,
    }


def test_preferences_that_begin_alike():
    expected = {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]}
    assert row({"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}) == expected
    assert row({"prompt": ASK["content"], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}) == expected
    assert row({"prompt": ASK["content"], "chosen": "Nobody counts.", "rejected": "Seven."}) == expected
    assert row({"input": {"messages": [ASK]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]}) == expected


def test_prompt_and_completion():
    made = row({"prompt": [ASK, BAD, ASK], "completion": [GOOD]})
    assert made == {"messages": [ASK, {**BAD, "weight": 0.0}, ASK, GOOD]}, "answers in the prompt are not trained"
    assert row({"prompt": "How many waves?", "completion": "Nobody counts.", "label": True}) == {
        "prompt": [ASK],
        "completion": [GOOD],
        "label": True,
    }
    assert row({"prompt": [ASK]}) == {"prompt": [ASK]}


def test_answers_that_are_null():
    """They are prompts, which stages that learn from answers count and leave out."""
    for answers in ({"chosen": None, "rejected": "b"}, {"chosen": "a", "rejected": None}, {"completion": None}):
        assert row({"prompt": [ASK], **answers}) == {"prompt": [ASK]}
    assert row({"chosen": None, "rejected": [ASK, BAD]}) == {"prompt": [ASK]}
    assert row({"input": {"messages": [ASK]}, "preferred_output": None, "non_preferred_output": [BAD]}) == {
        "prompt": [ASK]
    }


def test_a_question_that_is_null():
    asked = {"role": "user", "content": ""}
    assert row({"prompt": None, "completion": "b"}) == {"messages": [asked, {"role": "assistant", "content": "b"}]}
    assert row({"prompt": None, "chosen": [GOOD], "rejected": [BAD]})["prompt"] == [asked]


def test_label_of_another_meaning():
    assert row({"messages": [ASK, GOOD], "label": "geography"}) == {"messages": [ASK, GOOD]}
    assert row({"messages": [ASK, GOOD], "label": 1}) == {"messages": [ASK, GOOD]}
    assert row({"messages": [ASK, GOOD], "label": 1}, label="label")["label"] is True
    with pytest.raises(DataError, match="true or false, found geography"):
        row({"messages": [ASK, GOOD], "label": "geography"}, label="label")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": [ASK, {"role": "asistant", "content": ""}]}, "record 1: message 1: unknown role 'asistant'"),
        ({"messages": [ASK, {"role": "assistant"}]}, "message 1: a message of assistant has no content"),
        ({"messages": []}, "a conversation must be a list of messages"),
        ({"messages": "not json"}, "messages is not JSON"),
        ({"question": "a", "answer": "b"}, "openai needs `messages`; found `question`, `answer`; others have"),
        ({"messages": [BAD], "label": True}, "must end with an answer"),
        ({"chosen": None, "rejected": None}, "`chosen` and `rejected` must be text or messages, found null"),
        ({"prompt": None}, "`prompt` must be text or messages, found null"),
        ({"prompt": None, "chosen": None, "rejected": "b"}, "`prompt` and `chosen` must be text or messages"),
        ({"chosen": "a", "rejected": "b"}, "openai needs `prompt`, `chosen`, `rejected`; found `chosen`, `rejected`"),
        ({"chosen": "a"}, "openai needs `chosen`, `rejected`; found `chosen`; others have what is needed: mend"),
        ({"completion": "a"}, "openai needs `prompt`, `completion`; found `completion`"),
    ],
)
def test_errors_name_the_record(record, message):
    with pytest.raises(DataError) as raised:
        rows({"messages": [ASK, GOOD]}, record)
    assert message in str(raised.value)
    assert str(raised.value).startswith("record 1: ")


def test_unknown_role_suggests():
    with pytest.raises(DataError, match="did you mean assistant"):
        row({"messages": [{"role": "asistant", "content": ""}]})


def test_system_beside_the_messages():
    assert row({"messages": [ASK, GOOD], "system": "Be brief."})["messages"][0] == {
        "role": "system",
        "content": "Be brief.",
    }
    own = {"role": "system", "content": "Be long."}
    assert row({"messages": [own, ASK, GOOD], "system": "Be brief."})["messages"][0] == own


@pytest.mark.real
@pytest.mark.parametrize(("name", "keys"), [("kto_en_demo", {"prompt", "completion", "label"}), ("mllm_demo", None)])
def test_real_lists(real_files: Path, name, keys):
    records = json.loads((real_files / "data" / f"{name}.json").read_text(encoding="utf-8"))
    made = rows(*records)
    assert len(made) == len(records)
    for record, one in zip(records, made, strict=True):
        said = one.get("messages") or one["prompt"] + one["completion"]
        assert [(m["role"], m["content"]) for m in said] == [(m["role"], m["content"]) for m in record["messages"]]
        assert keys is None or set(one) == keys


@pytest.mark.real
def test_real_tool_use(real_files: Path):
    lines = (real_files / "data" / "reason_tool_use_demo_50.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    made = rows(*records)
    wanted = [p for r in records for m in r["messages"] for p in m["content"] if p["type"] == "tool_call"]
    calls = [call["function"] for one in made for m in one["messages"] for call in m.get("tool_calls", ())]
    assert calls == [{k: json.loads(p["value"])[k] for k in ("name", "arguments")} for p in wanted]
    assert sum("reasoning" in m for one in made for m in one["messages"]) == 112


def test_preference_over_messages():
    asked = {"role": "user", "content": "q"}
    better, worse = ({"role": "assistant", "content": text} for text in "ab")
    for answers in ({"chosen": better, "rejected": worse}, {"chosen": "a", "rejected": "b"}):
        (made,) = OpenAI().to_rows([{"messages": [asked], **answers}], {})
        assert made == {"prompt": [asked], "chosen": [better], "rejected": [worse]}
    with pytest.raises(DataError, match="`messages` must end with what"):
        list(OpenAI().to_rows([{"messages": [asked, better], "chosen": "a", "rejected": "b"}], {}))


def test_a_pair_answers_one_question():
    """Conversations without a `prompt` must begin alike, or nobody knows what the answers are to be weighed by."""
    other, system = {"role": "user", "content": "OTHER"}, {"role": "system", "content": "s"}
    alike = "`chosen` and `rejected` must begin with the same turns, found user: How many waves?, and "
    for record, message in (
        ({"chosen": [ASK, GOOD], "rejected": [other, BAD]}, f"message 0: {alike}user: OTHER"),
        ({"prompt": None, "chosen": [ASK, GOOD], "rejected": [BAD]}, f"message 0: {alike}assistant: Seven."),
        ({"chosen": [system, ASK, GOOD], "rejected": [system, other, BAD]}, f"message 1: {alike}user: OTHER"),
        ({"chosen": [ASK], "rejected": [ASK, BAD]}, "`chosen` must end with an answer, found user: How many waves?"),
    ):
        with pytest.raises(DataError) as raised:
            row(record)
        assert message in str(raised.value) and "COLUMN" not in str(raised.value)
    turns = [ASK, GOOD]
    made = row({"chosen": [*turns, ASK, GOOD], "rejected": [*turns, other, BAD]})
    assert made == {"prompt": turns, "chosen": [ASK, GOOD], "rejected": [other, BAD]}, "they part later on"


def test_columns_that_are_kept():
    """Under their own names, whatever the record is turned into; those that a record lacks are not made up."""
    keep = {"+solution": "solution", "+vote": "vote"}
    (made,) = OpenAI().to_rows([{"prompt": "q", "solution": {"n": 7}, "other": 1}], keep)
    assert made == {"prompt": [{"role": "user", "content": "q"}], "solution": {"n": 7}}
    pair = {"input": {"messages": [ASK]}, "preferred_output": [GOOD], "non_preferred_output": [BAD], "vote": "win"}
    (made,) = OpenAI().to_rows([pair], keep)
    assert made == {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD], "vote": "win"}


def test_boxes_are_kept_where_texts_have_places_for_them():
    found, asked = {"role": "assistant", "content": "At <bbox>."}, {"role": "user", "content": "<image>Where?"}
    record = {"messages": [asked, found], "images": ["a.png"], "objects": {"bbox": [[1, 2, 3, 4]], "ref": None}}
    assert row(record)["objects"] == {"bbox": [[1, 2, 3, 4]]}
    assert row({**record, "objects": json.dumps(record["objects"])})["objects"] == {"bbox": [[1, 2, 3, 4]]}
    assert "objects" not in row({**record, "messages": [asked, GOOD]}), "it may be anything"
    assert "objects" not in row({**record, "objects": None})
    with pytest.raises(DataError, match="`objects` must be a mapping with `bbox`, `ref` or both"):
        row({**record, "objects": ["ship"]})
