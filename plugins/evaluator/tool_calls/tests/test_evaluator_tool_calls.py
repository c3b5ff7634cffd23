"""Calls of tools, each case by hand: right, wrong, in another order, missing, needless, not to be carried out."""

import json
from dataclasses import replace

import pytest
from tunesmith import DataError
from tunesmith_evaluator_tool_calls import ToolCalls
from tunesmith_evaluator_tool_calls.judging import argument_shares
from tunesmith_evaluator_tool_calls.tools import Call
from tunesmith_library_chat.calls import HERMES
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import CHATML, handle_of

TEMPLATE = replace(CHATML, thinking=Thinking(), calls=HERMES)
PARAMETERS = {"type": "object", "properties": {"城市": {"type": "string"}, "days": {"type": "integer"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {**PARAMETERS, "required": ["城市"]}}}
TIME = {"name": "time", "description": "Says what time it is."}
TOOLS = [WEATHER, TIME]


def call(name="weather", **arguments):
    return {"name": name, "arguments": arguments}


def row(question, *calls, text="It rains.", as_text=False):
    made = [{**it, "arguments": json.dumps(it["arguments"])} if as_text else it for it in calls]
    answer = {"role": "assistant", "content": "" if calls else text}
    if calls:
        answer["tool_calls"] = [{"type": "function", "function": it} for it in made]
    return {"messages": [{"role": "user", "content": question}, answer], "tools": TOOLS}


def said(*calls):
    return "".join(f"<tool_call>\n{json.dumps(it, ensure_ascii=False)}\n</tool_call>\n" for it in calls)


PARIS, ROME = call(城市="Paris", days=2), call(城市="罗马", days=1)


class TestToolCalls(EvaluatorSuite):
    plugin = ToolCalls
    options = {"max_new_tokens": 24}
    rows = (row("A", text="Sun."), row("B", text="Rain."), row("C", text="Snow."))


@pytest.fixture
def evaluate(tiny_llama, tiny_bpe):
    def found(rows, answers, **options):
        data = EvaluationData(rows=lambda: {"mine": rows}, examples=dict)
        handle = handle_of(tiny_llama, tiny_bpe, template=TEMPLATE)

        def script(prompt):
            return answers[prompt.rpartition("user\n")[2].partition("<|im_end|>")[0]]

        with scripted_chat(handle, script) as chat:
            return ToolCalls(**options).evaluate(chat=chat, data=data)

    return found


CASES = {
    # question: (expected calls, answer, its numbers)
    "right": ([PARIS], said(PARIS), {"accuracy": 1, "valid": 1, "argument_accuracy": 1}),
    "parallel": ([PARIS, ROME], said(ROME, PARIS), {"accuracy": 1, "valid": 1, "name_accuracy": 1}),
    "argument": ([PARIS], said(call(城市="Paris", days=3)), {"accuracy": 0, "valid": 1, "argument_accuracy": 1 / 2}),
    "more": ([call(城市="Paris")], said(PARIS), {"accuracy": 0, "name_accuracy": 1, "argument_accuracy": 1 / 2}),
    "name": ([PARIS], said(call("time")), {"accuracy": 0, "valid": 1, "name_accuracy": 0, "argument_accuracy": 0}),
    "unknown": ([PARIS], said(call("tide")), {"valid": 0, "problem": "there is no function tide"}),
    "lacking": ([PARIS], said(call(days=2)), {"valid": 0, "argument_accuracy": 1 / 2}),
    "typed": ([PARIS], said(call(城市="Paris", days="2")), {"valid": 0, "argument_accuracy": 1 / 2}),
    "one of two": ([PARIS, ROME], said(ROME), {"accuracy": 0, "name_accuracy": 0, "argument_accuracy": 1 / 2}),
    "missed": ([PARIS], "It rains.", {"accuracy": 0, "missed": 1, "argument_accuracy": 0, "valid": None}),
    "none": ([], "It rains.", {"accuracy": 1, "needless": 0, "missed": None}),
    "needless": ([], said(PARIS), {"accuracy": 0, "needless": 1, "valid": 1}),
    "thought": ([], "<think>\nIs it so?", {"accuracy": 0, "needless": 0, "unfinished": 1}),
    "silence": ([], "", {"accuracy": 0, "needless": 0}),
    "empty": ([PARIS], "", {"accuracy": 0, "missed": 1}),
}


def test_cases(evaluate):
    rows = [row(name, *calls, as_text=bool(len(name) % 2)) for name, (calls, *_) in CASES.items()]
    found = evaluate(rows, {name: answer for name, (_, answer, _) in CASES.items()})
    for record, (name, (*_, numbers)) in zip(found.records, CASES.items(), strict=True):
        assert {key: record.get(key) for key in numbers} == numbers, name
    metrics = found.metrics["mine"]
    assert metrics["accuracy"].value == 3 / 15 and metrics["missed"].value == 2 / 11
    assert (metrics["needless"].value, metrics["needless"].count) == (1 / 4, 4)
    assert (metrics["valid"].value, metrics["valid"].count) == (7 / 10, 10)
    assert {f"tool_calls_{name}": it.greater_is_better for name, it in metrics.items()} == ToolCalls.traits.metrics


def test_every_turn_is_asked_for(evaluate):
    """A call, its result, and what is said of it: two turns, the second behind the first as the data have it."""
    first = row("Rome?", ROME)
    rest = [{"role": "tool", "content": "Sun."}, {"role": "assistant", "content": "It is sunny."}]
    rows = [{**first, "messages": [*first["messages"], *rest]}, row("none")]
    answers = {"Rome?": said(ROME), "none": "No."}
    found = evaluate(rows, answers)
    assert [(it["index"], it["accuracy"]) for it in found.records] == [(0, 1), (1, 0), (2, 1)]
    assert [it["turn"] for it in found.records] == [1, 3, 1]
    last = evaluate(rows, answers, turns="last")
    assert [it["needless"] for it in last.records] == [1, 0]


def test_calls_belong_together_that_have_the_most_in_common():
    expected = [Call.of(call(a=1, b=2)), Call.of(call(a=1, b=3)), Call.of(call("time"))]
    made = [Call.of(call(a=1, b=3)), Call.of(call(a=1, b=9)), Call.of(call("time"))]
    assert argument_shares(expected, made) == [1 / 2, 1, 1]
    assert argument_shares([Call.of(call(a=1))], [Call.of(call(a=True))]) == [0]


def test_rows_without_tools_are_left_out(evaluate, caplog):
    caplog.set_level("INFO", logger="tunesmith")
    evaluate([row("none"), {**row("other"), "tools": None}], {"none": "No."})
    assert "1 of 2 examples left out (they have no tools)" in caplog.text


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({"type": "function"}, "row 0: a tool has no name"),
        ({"name": "tide", "parameters": {"type": "thing"}}, "parameters of tide: this is no JSON Schema"),
    ],
)
def test_tools_that_are_none(evaluate, tool, message):
    with pytest.raises(DataError, match=message):
        evaluate([{**row("none"), "tools": [tool]}], {})
