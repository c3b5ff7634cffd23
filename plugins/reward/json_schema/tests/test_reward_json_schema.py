import json

import pytest
from tunesmith import DataError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_json_schema import JsonSchema

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "legs": {"type": "integer", "minimum": 0}},
    "required": ["name", "legs"],
    "additionalProperties": False,
}
GOOD = '{"name": "whale", "legs": 0}'


class TestJsonSchema(RewardSuite):
    plugin = JsonSchema
    options = {"schema": SCHEMA, "partial": 0.25}
    better = GOOD
    worse = '{"name": "whale"}'


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (f"Here it is:\n```json\n{GOOD}\n```\nBye.", 1.0),
        (f"```\n{{}}\n```\nor rather\n```\n{GOOD}\n```", 1.0),
        ('{"name": "whale", "legs": -1}', 0.25),
        ('{"name": "whale", "legs": 0, "arms": 2}', 0.25),
        ("NaN", 0.0),
        (f"It is {GOOD}", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_scores(answer, score):
    assert JsonSchema(schema=SCHEMA, partial=0.25).score(completions=[answer], rows=[{}]) == [score]


def test_schema_of_a_file_and_of_a_row(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    assert JsonSchema(file=str(path)).score(completions=[GOOD, "{}"], rows=[{}, {}]) == [1.0, 0.0]
    rows = [{"form": json.dumps(SCHEMA)}, {"form": {"type": "array"}}]
    assert JsonSchema(column="form").score(completions=[GOOD, GOOD], rows=rows) == [1.0, 0.0]
    with pytest.raises(DataError, match="no form; it has answer"):
        JsonSchema(column="form").score(completions=[GOOD], rows=[{"answer": 1}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no schema given"),
        ({"schema": SCHEMA, "column": "form"}, "schema and column given"),
        ({"schema": {"type": "thing"}}, "no JSON Schema"),
        ({"file": "nowhere.json"}, "no file"),
    ],
)
def test_what_cannot_be_a_schema(options, message):
    (problem,) = JsonSchema(**options).check(plan=StubPlan({}))
    assert message in problem.message


def test_values_out_of_range_are_refused():
    values = {"partial": 2.0}
    _, problems = structured(JsonSchema, values, Key("reward", "json_schema"), "reward=json_schema")
    assert [str(problem.key) for problem in problems] == [f"reward.json_schema.{name}" for name in values]
