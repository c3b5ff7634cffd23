"""Results of several tools in one message are told apart, and paired with their calls."""

import json

import pytest
from tunesmith_library_formats import Columns, finish

WHERE = Columns(
    "openai", ("messages", "system", "tools", "images", "videos", "audios", "weight", "enable_thinking"), {}
)


def call(name, **beside):
    return {"type": "function", **beside, "function": {"name": name, "arguments": {}}}


def told(calls, content):
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": content if isinstance(content, str) else json.dumps(content)},
        {"role": "assistant", "content": "so"},
    ]
    return finish({"messages": messages}, {}, WHERE)["messages"][1:-1]


def result(number, name="area", **beside):
    return {"tool_call_id": f"c{number}", "name": name, "content": f"{number} m²", **beside}


def test_each_result_is_a_message_and_its_call_has_its_id():
    asked, *results = told([call("area"), call("length")], [result(1), result(2, "length", content={"m": 2})])
    assert [made["id"] for made in asked["tool_calls"]] == ["c1", "c2"]
    assert results == [
        {"role": "tool", "content": "1 m²", "tool_call_id": "c1", "name": "area"},
        {"role": "tool", "content": '{"m": 2}', "tool_call_id": "c2", "name": "length"},
    ]


def test_calls_that_others_answer_keep_what_they_have():
    asked, *results = told([call("area", id="x"), call("area", id="y")], [result(1), result(2)])
    assert [made["id"] for made in asked["tool_calls"]] == ["x", "y"] and len(results) == 2
    asked, *results = told([call("length")], [result(1)])
    assert "id" not in asked["tool_calls"][0] and len(results) == 1, "another tool's result"


OTHERS = (
    "[not JSON, tool_call_id",
    "[]",
    [{"tool_call_id": "a"}],
    [{"tool_call_id": "a", "content": "", "city": 1}],
    [1, "tool_call_id"],
)


@pytest.mark.parametrize("content", OTHERS)
def test_a_list_of_anything_else_is_one_result(content):
    _, found = told([call("area")], content)
    assert found["content"] == (content if isinstance(content, str) else json.dumps(content))
