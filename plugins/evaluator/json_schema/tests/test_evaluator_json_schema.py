"""Answers that follow a schema, or do not: each case by hand."""

import json
from dataclasses import replace

import pytest
from tunesmith import DataError
from tunesmith_evaluator_json_schema import JsonSchema
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of

SCHEMA = {
    "type": "object",
    "properties": {"动物": {"type": "string"}, "legs": {"type": "integer"}},
    "required": ["legs"],
}
THINKING = replace(CHATML, thinking=Thinking())


class TestJsonSchemaEvaluator(EvaluatorSuite):
    plugin = JsonSchema
    options = {"schema": SCHEMA, "max_new_tokens": 24}


@pytest.fixture
def evaluate(tiny_llama, tiny_bpe):
    def found(rows, answers, **options):
        data = EvaluationData(rows=lambda: {"mine": rows}, examples=dict)
        handle = handle_of(tiny_llama, tiny_bpe, template=THINKING)
        with scripted_chat(handle, lambda prompt: answers[int(prompt.partition("user\n")[2][0])]) as chat:
            return JsonSchema(**options).evaluate(chat=chat, data=data)

    return found


def row(at, expected=None, **columns):
    said = [] if expected is None else [{"role": "assistant", "content": expected}]
    return {"messages": [{"role": "user", "content": f"{at}?"}, *said], **columns}


def test_answers_of_a_script(evaluate):
    answers = [
        '{"legs": 4, "动物": "狗"}',
        'So:\n```json\n{"legs": 1}\n```',
        '{"legs": "four"}',
        "four",
        "",
        '<think>\n{"legs": 4}',
    ]
    expected = ['{"动物": "狗", "legs": 4}', '{"legs": true}', None, "no JSON", None, '{"legs": 4}']
    found = evaluate([row(at, text) for at, text in enumerate(expected)], answers, schema=SCHEMA)
    metrics = found.metrics["mine"]
    assert [record["valid"] for record in found.records] == [1, 1, 0, 0, 0, 0]
    assert [record["json"] for record in found.records] == [1, 1, 1, 0, 0, 0]
    assert [record.get("equal") for record in found.records] == [1, 0, None, None, None, 0]
    assert metrics["valid"].value == 2 / 6 and metrics["equal"].value == pytest.approx(1 / 3)
    assert metrics["equal"].count == 3 and metrics["unfinished"].value == 1 / 6
    assert found.records[2]["problem"] == "$.legs: 'four' is not of type 'integer'"
    assert {f"json_schema_{name}": it.greater_is_better for name, it in metrics.items()} == JsonSchema.traits.metrics


def test_schemas_of_rows(evaluate, caplog):
    caplog.set_level("INFO", logger="tunesmith")
    rows = [row(0, form=json.dumps(SCHEMA)), row(1, form={"type": "array"}), row(2)]
    found = evaluate(rows, ['{"legs": 4}', '{"legs": 4}'], column="form")
    assert [record["valid"] for record in found.records] == [1, 0]
    assert "1 of 3 examples left out (they have no column form)" in caplog.text
    with pytest.raises(DataError, match="data set mine, row 1: this is no JSON Schema"):
        evaluate([row(0, form=SCHEMA), row(1, form={"type": "thing"})], [], column="form")


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({}, "evaluator.json_schema", "no schema given"),
        ({"schema": {"type": "thing"}}, "evaluator.json_schema.schema", "no JSON Schema"),
    ],
)
def test_schemas_that_are_wrong_beforehand(options, key, message):
    (problem,) = JsonSchema(**options).check(plan=StubPlan({}))
    assert message in problem.message and str(problem.key) == key
