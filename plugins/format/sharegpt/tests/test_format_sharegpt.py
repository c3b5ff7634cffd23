"""The ShareGPT format against rows written by hand, and the real files."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith_format_sharegpt import ShareGPT
from tunesmith_library_formats import tallying
from tunesmith_library_testing import FormatSuite

TOOL = {"name": "count", "parameters": {"type": "object", "properties": {"beach": {"type": "string"}}}}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
ASK, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def call(**arguments):
    return {"type": "function", "function": {"name": "count", "arguments": arguments}}


def row(record, **columns):
    return next(iter(ShareGPT().to_rows([record], columns)))


class TestShareGPT(FormatSuite):
    plugin = ShareGPT
    records = [
        {"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT, HUMAN, GPT]},
        {
            "conversations": [
                HUMAN,
                {"from": "function_call", "value": '{"name": "count", "arguments": {"beach": "north"}}'},
                {"from": "observation", "value": '{"waves": 3}'},
                GPT,
            ],
            "tools": json.dumps([TOOL]),
            "system": "Count.",
        },
        {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "No"}},
        {"conversations": [HUMAN, GPT], "label": True},
        {"conversations": [HUMAN]},
        {"conversations": [HUMAN, GPT, HUMAN], "chosen": None, "rejected": GPT},
    ]
    rows = [
        {"messages": [{"role": "system", "content": "Be brief."}, ASK, ANSWER, ASK, ANSWER]},
        {
            "messages": [
                {"role": "system", "content": "Count."},
                ASK,
                {"role": "assistant", "content": "", "tool_calls": [call(beach="north")]},
                {"role": "tool", "content": '{"waves": 3}'},
                ANSWER,
            ],
            "tools": [{"type": "function", "function": TOOL}],
        },
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [{"role": "assistant", "content": "No"}]},
        {"prompt": [ASK], "completion": [ANSWER], "label": True},
        {"prompt": [ASK]},
        {"prompt": [ASK, ANSWER, ASK]},
    ]
    renamed = {"conversations": "talk", "label": "liked"}


def test_parallel_calls_with_a_thought():
    calls = json.dumps([{"name": "count", "arguments": {}}, {"name": "count", "arguments": '{"beach": "south"}'}])
    turn = {"from": "function_call", "value": f"<think>\nTwo beaches.\n</think>\n\n{calls}"}
    assert row({"conversations": [HUMAN, turn]})["messages"][1] == {
        "role": "assistant",
        "content": "",
        "reasoning": "Two beaches.",
        "tool_calls": [call(), call(beach="south")],
    }


def test_turns_and_rows_weigh():
    turn = {"from": "function_call", "value": '{"name": "count", "arguments": {}}', "weight": 0.5}
    made = row({"conversations": [HUMAN, turn, HUMAN, {**GPT, "loss": False}], "weight": 3})
    assert [message.get("weight") for message in made["messages"]] == [None, 0.5, None, 0.0]
    assert made["weight"] == 3.0


def test_text_before_a_call_is_the_same_turn():
    turn = {"from": "function_call", "value": '{"name": "count", "arguments": {}}'}
    assert row({"conversations": [HUMAN, GPT, turn]})["messages"][1:] == [{**ANSWER, "tool_calls": [call()]}]


def test_roles_and_keys_of_their_own():
    talk = [{"who": "customer", "says": "Hi"}, {"who": "agent", "says": "Hello"}]
    tags = {"role_tag": "who", "content_tag": "says", "user_tag": "customer", "assistant_tag": "agent"}
    assert row({"talk": talk}, messages="talk", **tags) == {"messages": [ASK, ANSWER]}
    assert row({"messages": [ASK, ANSWER]}) == {"messages": [ASK, ANSWER]}


def test_turns_need_not_alternate():
    assert row({"conversations": [GPT, HUMAN, HUMAN, GPT]}) == {"messages": [ANSWER, ASK, ASK, ANSWER]}


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([HUMAN, {"from": "robot", "value": "x"}], "record 0: turn 1: unknown role 'robot'"),
        ([HUMAN, {"role": "robot"}], "turn 1: needs `role` and `content`; found `role`"),
        ([HUMAN, {"from": "function_call", "value": "count()"}], "turn 1: a tool call is not JSON"),
        ([HUMAN, {"from": "function_call", "value": "{}"}], "turn 1: a tool call needs name and arguments"),
        ([], "must be a list of turns"),
        ([{}], "needs `role` and `content`; found nothing"),
        ([HUMAN, "Hello"], "record 0: `conversations[1]` must be a mapping, found Hello"),
    ],
)
def test_errors_name_record_and_turn(turns, message):
    with pytest.raises(DataError) as raised:
        row({"conversations": turns})
    assert message in str(raised.value)


def test_unknown_role_says_how_to_name_it():
    with pytest.raises(DataError, match="user_tag=customer"):
        row({"conversations": [{"from": "customer", "value": "Hi"}]})


def test_unknown_tag():
    with pytest.raises(DataError, match=r"no field usr_tag\n.*did you mean user_tag"):
        ShareGPT().to_rows([], {"usr_tag": "x"})


@pytest.mark.real
def test_real_tool_calls(real_files: Path):
    records = json.loads((real_files / "data" / "glaive_toolcall_en_demo.json").read_text(encoding="utf-8"))
    made = list(ShareGPT().to_rows(records, {}))
    turns = [turn for record in records for turn in record["conversations"]]
    wanted = [json.loads(turn["value"]) for turn in turns if turn["from"] == "function_call"]
    calls = [c["function"] for one in made for m in one["messages"] for c in m.get("tool_calls", ())]
    assert len(calls) == 211 and calls == [{"name": w["name"], "arguments": w["arguments"]} for w in wanted]
    said = [turn["value"] for turn in turns if turn["from"] in ("human", "gpt", "observation")]
    assert [m["content"] for one in made for m in one["messages"] if m["content"]] == said
    for record, one in zip(records, made, strict=True):
        assert [tool["function"] for tool in one.get("tools", ())] == json.loads(record["tools"] or "[]")


@pytest.mark.real
def test_real_preferences(real_files: Path):
    records = json.loads((real_files / "data" / "dpo_en_demo.json").read_text(encoding="utf-8"))
    made = list(ShareGPT().to_rows(records, {}))
    for record, one in zip(records, made, strict=True):
        assert one["chosen"] == [{"role": "assistant", "content": record["chosen"]["value"]}]
        assert one["rejected"] == [{"role": "assistant", "content": record["rejected"]["value"]}]
        assert [m["content"] for m in one["prompt"]] == [turn["value"] for turn in record["conversations"]]


@pytest.mark.real
@pytest.mark.parametrize("name", ["kto_en_demo", "mllm_demo", "mllm_audio_demo", "mllm_video_demo"])
def test_real_messages(real_files: Path, name):
    records = json.loads((real_files / "data" / f"{name}.json").read_text(encoding="utf-8"))
    for record, one in zip(records, ShareGPT().to_rows(records, {}), strict=True):
        said = one.get("messages") or one["prompt"] + one["completion"]
        assert [(m["role"], m["content"]) for m in said] == [(m["role"], m["content"]) for m in record["messages"]]
        media = [key for key in ("images", "videos", "audios") if key in record]
        assert {key: one[key] for key in media} == {key: record[key] for key in media}


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([{"human": "Hi", "assistant": "Hello"}] * 2, [ASK, ANSWER, ASK, ANSWER]),
        ([{"assistant": "Hello", "human": "Hi"}], [ASK, ANSWER]),
        ([{"human": "Hi", "assistant": None}, {"human": None, "assistant": "Hello"}], [ASK, ANSWER]),
        (
            [{"system": "Brief.", "input": "Hi", "output": "Hello"}],
            [{"role": "system", "content": "Brief."}, ASK, ANSWER],
        ),
        ([{"Human": "Hi", "Assistant": "Hello"}], [ASK, ANSWER]),
        ([ASK, ANSWER], [ASK, ANSWER]),
        ([HUMAN, GPT], [ASK, ANSWER]),
        (json.dumps([{"human": "Hi", "assistant": "Hello"}]), [ASK, ANSWER]),
    ],
)
@pytest.mark.parametrize("name", ["conversation", "conversations"])
def test_turns_by_their_speakers(name, turns, said):
    record = {name: turns}
    assert ShareGPT.looks_like(record)
    assert row(record) == {"messages": said}


def test_speakers_by_tag_and_what_stands_beside_them():
    tagged = {"conversation": [{"Q": "Hi", "A": "Hello"}]}
    assert row(tagged, user_tag="Q", assistant_tag="A") == {"messages": [ASK, ANSWER]}
    with tallying() as tally:
        made = row({"conversation": [{"human": "Hi", "assistant": "Hello", "score": 3, "note": None}]})
    assert made == {"messages": [ASK, ANSWER]}
    assert [(share.count, share.first) for share in tally.shares.values()] == [(1, "`score`")]
    assert not ShareGPT.looks_like({"conversation": "a talk"})
    assert not ShareGPT.looks_like({"conversation": [{"topic": "tea", "human": 3}]})
    assert row({"conversation": {"human": "Hi", "assistant": "Hello"}}) == {"messages": [ASK, ANSWER]}
    with pytest.raises(DataError, match="nobody says anything"):
        row({"conversation": [{"human": None, "assistant": None}]})
    with pytest.raises(DataError, match="turn 1: `assistant` must be text, found 3"):
        row({"conversation": [{"human": "Hi", "assistant": "Hello"}, {"human": "Hi", "assistant": 3}]})
    with pytest.raises(DataError, match="turn 0: needs `role` and `content`; found `topic`"):
        row({"conversation": [{"topic": "tea"}]})
