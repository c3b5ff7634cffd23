"""Columns under the user's names, messages and tools in canonical form, what stands beside a conversation."""

import json

import pytest
from tunesmith import DataError
from tunesmith_library_formats import (
    Columns,
    convert,
    finish,
    first_message,
    label_of,
    labelled,
    parse_answer,
    parse_message,
    parse_messages,
    parse_tool_calls,
    parse_tools,
)

ASK = {"role": "user", "content": "How many waves?"}
GOOD = {"role": "assistant", "content": "Nobody counts."}
TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {}}}}
FIELDS = ("messages", "system", "tools", "label", "images", "videos", "audios")


def test_columns_without_field():
    with pytest.raises(DataError, match=r"no field mesages\n.*did you mean messages"):
        Columns("openai", ("messages", "tools"), {"mesages": "x"})


def test_columns_are_found_under_the_users_names():
    where = Columns("openai", ("messages", "label"), {"messages": "talk", "kto_tag": "liked"}, {"kto_tag": "label"})
    record = {"talk": [ASK], "liked": True}
    assert (where.of("messages"), where.get(record, "label"), where.mapped("label")) == ("talk", True, True)
    assert where.need(record, "messages") == [[ASK]]
    with pytest.raises(DataError) as raised:
        where.need({"text": "a"}, "messages")
    assert str(raised.value) == "openai needs `talk`; found `text`; map them with columns={messages: COLUMN}"


def test_a_column_of_one_image_counts_where_texts_have_a_place_for_it():
    where = Columns("openai", FIELDS, {})

    def images(content, where=where, **record):
        return finish({"messages": [{"role": "user", "content": content}, GOOD]}, record, where).get("images")

    part = {"type": "image", "text": None}
    assert images("<image>What?", image="a.jpg") == ["a.jpg"]
    assert images([part, {"type": "text", "text": "What?"}], image={"path": "a.jpg"}) == [{"path": "a.jpg"}]
    assert images("What?", image="a.jpg") is None, "it may be anything"
    assert images([{**part, "image": "b.jpg"}], image="a.jpg") is None, "the part has its own"
    assert images("<image>What?", images=["b.jpg"], image="a.jpg") == ["b.jpg"]
    assert images("<image>", Columns("openai", FIELDS, {"images": "pictures"}), image="a.jpg") is None
    assert images("<video>", image="a.jpg") is None


def test_an_error_names_the_record():
    def to_row(record):
        if not record:
            raise DataError("empty")
        return record

    rows = convert([{"text": "a"}, {}], to_row)
    assert next(rows) == {"text": "a"}, "records are read one by one"
    with pytest.raises(DataError, match="record 1: empty"):
        next(rows)


def test_messages_of_every_shape():
    for value in ([ASK, GOOD], json.dumps([ASK, GOOD])):
        assert parse_messages(value) == [ASK, GOOD]
    assert parse_messages(ASK) == [ASK]
    assert parse_answer("Nobody counts.") == parse_answer(GOOD) == parse_answer([GOOD]) == [GOOD]
    assert parse_message({"role": "developer", "content": "Be brief.", "weight": 0}) == {
        "role": "system",
        "content": "Be brief.",
        "weight": 0.0,
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([ASK, {"role": "asistant", "content": ""}], "message 1: unknown role 'asistant'"),
        ([ASK, {"role": "assistant"}], "message 1: a message of assistant has no content"),
        ([ASK, "Hello"], "message 1: a message must be a mapping"),
        ([{**ASK, "weight": "heavy"}], "the weight of a message must be a number, found heavy"),
        ([{"role": "user", "content": [{"text": "a"}]}], "a part of a content needs a type"),
        ([], "a conversation must be a list of messages"),
        ("not json", "messages is not JSON"),
    ],
)
def test_messages_that_are_wrong(value, message):
    with pytest.raises(DataError) as raised:
        parse_messages(value)
    assert message in str(raised.value)


def test_tools_of_every_shape():
    bare = TOOL["function"]
    for tools in ([TOOL], [bare], bare, json.dumps([bare]), json.dumps(TOOL), [json.dumps(bare)]):
        assert parse_tools(tools) == [TOOL], tools
    for none in (None, "", " ", [], "[]"):
        assert parse_tools(none) is None
    with pytest.raises(DataError, match="tools is not JSON"):
        parse_tools("[{")
    with pytest.raises(DataError, match="a tool has no name"):
        parse_tools([{"description": "nothing"}])


def test_whether_to_think_stands_beside_a_conversation():
    where = Columns("any", ("enable_thinking",), {"enable_thinking": "think"})
    for value, expected in ((True, True), (False, False), ("False", False), (None, None), ("", None)):
        assert finish({"messages": []}, {"think": value}, where).get("enable_thinking") is expected
    for wrong in (1, "yes", [True]):
        with pytest.raises(DataError, match="enable_thinking must be true or false"):
            finish({"messages": []}, {"think": wrong}, where)


def test_what_a_row_weighs_stands_beside_a_conversation():
    """A number in the column `weight`; text of a number, or an error, only where the user says what is the weight."""
    plain, mapped = Columns("any", ("weight",), {}), Columns("any", ("weight",), {"weight": "score"})
    for value, expected in ((2, 2.0), (0.5, 0.5), ("3", None), ("light", None), (True, None), ({}, None), (None, None)):
        assert finish({"messages": []}, {"weight": value}, plain).get("weight") == expected
    for value, expected in ((2, 2.0), ("0.25", 0.25), (None, None)):
        assert finish({"messages": []}, {"score": value}, mapped).get("weight") == expected
    for wrong in ("light", True, [1], {}):
        with pytest.raises(DataError, match="the weight of a row must be a number"):
            finish({"messages": []}, {"score": wrong}, mapped)


def test_what_a_message_weighs_under_other_names():
    said = {"role": "assistant", "content": "a"}
    for more, expected in (
        ({}, None),
        ({"loss_weight": 0.5}, 0.5),
        ({"loss": False}, 0.0),
        ({"train": True}, 1.0),
        ({"loss": 0.3}, None),  # what something else measured
        ({"weight": None, "train": False}, 0.0),
        ({"weight": 2, "loss": False}, 2.0),
    ):
        assert parse_message({**said, **more}).get("weight") == expected, more


def test_tool_calls_that_are_wrong():
    for wrong in ("count()", {"arguments": {}}, ["count"], {"name": "count", "arguments": [1]}):
        with pytest.raises(DataError):
            parse_tool_calls(wrong)


def test_labels():
    """0 and 1 are labels only where the user says that this column is the label."""
    where, mapped = Columns("openai", FIELDS, {}), Columns("openai", FIELDS, {"label": "label"})
    assert [label_of({"label": value}, where) for value in (True, "false", 1, "geography", None)] == [
        True,
        False,
        None,
        None,
        None,
    ]
    assert label_of({"kto_tag": False}, where) is False
    assert [label_of({"label": value}, mapped) for value in (1, 0, None)] == [True, False, None]
    with pytest.raises(DataError, match="true or false, found geography"):
        label_of({"label": "geography"}, mapped)


def test_labelled_conversations_end_with_an_answer():
    assert labelled([ASK, GOOD], True) == {"prompt": [ASK], "completion": [GOOD], "label": True}
    for messages in ([GOOD], [GOOD, ASK]):
        with pytest.raises(DataError, match="must end with an answer"):
            labelled(messages, True)


def test_what_stands_beside_a_conversation():
    where = Columns("openai", FIELDS, {"images": "pictures"})
    record = {"system": "Be brief.", "tools": json.dumps([TOOL]), "pictures": "a.png", "videos": []}
    assert finish({"messages": [ASK, GOOD]}, record, where) == {
        "messages": [{"role": "system", "content": "Be brief."}, ASK, GOOD],
        "tools": [TOOL],
        "images": ["a.png"],
    }
    own = {"role": "system", "content": "Be long."}
    assert finish({"prompt": [own, ASK]}, record, where)["prompt"] == [own, ASK]


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ([ASK, GOOD], ASK),
        (ASK, ASK),
        ([], None),
        (None, None),
        ('[{"role": "user"}]', None),
        ("a", {}),
        ([3], {}),
        (3, {}),
    ],
)
def test_the_first_message_of_what_may_be_a_conversation(value, first):
    assert first_message(value) == first


def test_what_is_wrong_with_a_function_is_said_with_its_place():
    """Every tool and call has a name, by which a model can call it."""
    for tools, message in (
        ([TOOL, {"type": "function", "function": {}}], "a tool has no name: `tools[1].function.name` is missing in {}"),
        ([{"type": "function", "function": {"name": None}}], "`tools[0].function.name` is null"),
        ([{"type": "function", "function": {"name": " "}}], "`tools[0].function.name` is empty"),
        ([{"type": "function", "function": "count"}], "`tools[0].function` must be a mapping with a name, found count"),
        ({"name": 5}, "`tools.name` must be text, found 5"),
        ([5], "`tools[0]` must be a tool, a mapping with a name, found 5"),
        ([{"name": "count", "parameters": 5}], "`tools[0].parameters` must be a mapping or a list of anything"),
        ([{"name": "count", "parameters": "none"}], "tools[0].parameters is not JSON"),
        ([{"name": "count", "description": ["a"]}], "`tools[0].description` must be text, found ['a']"),
    ):
        with pytest.raises(DataError) as raised:
            parse_tools(tools)
        assert message in str(raised.value)
    for call, message in (
        ({"function": {"arguments": {}}}, "`function.name` is missing"),
        ({"name": "", "arguments": {}}, "`name` is empty"),
        ({"name": 5, "arguments": {}}, "`name` must be text, found 5"),
    ):
        with pytest.raises(DataError) as raised:
            parse_tool_calls([call])
        assert f"a tool call needs name and arguments: {message}" in str(raised.value)


def test_parameters_may_be_json_text():
    schema = TOOL["function"]["parameters"]
    text = {**TOOL["function"], "parameters": json.dumps(schema)}
    assert parse_tools([text]) == [TOOL]
    assert parse_tools([{"name": "a", "parameters": [{"name": "b"}]}])[0]["function"]["parameters"] == [{"name": "b"}]
    assert parse_tools([{"name": "a", "parameters": ""}])[0]["function"]["parameters"] is None


def test_one_record_that_lacks_a_field_is_to_be_mended():
    """Mapping columns would break the others; where all lack it, they are named otherwise."""
    where = Columns("openai", ("prompt", "completion"), {})

    def to_row(record):
        return dict(zip("ab", where.need(record, "prompt", "completion"), strict=True))

    good, bad = {"prompt": "a", "completion": "b"}, {"Prompt": "a", "completion": "b"}
    mend = (
        "found `Prompt`, `completion`; others have what is needed: mend this one, or take it out; did you mean `prompt`"
    )
    for records, message in (
        ([good, bad], f"record 1: openai needs `prompt`, `completion`; {mend} by `Prompt`?"),
        ([bad, bad, good], f"record 0: openai needs `prompt`, `completion`; {mend} by `Prompt`?"),
        ([good, {}], "record 1: openai needs `prompt`, `completion`; found nothing; others have what is needed: mend"),
        ([bad, bad], "record 0: openai needs `prompt`, `completion`; found `Prompt`, `completion`; map them with col"),
    ):
        for read in (records, iter(records)):
            with pytest.raises(DataError) as raised:
                list(convert(read, to_row))
            assert str(raised.value).startswith(message)
