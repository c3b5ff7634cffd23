"""Functions that are found, and answers that are JSON."""

import pytest
from tunesmith import TunesmithError
from tunesmith_library_scoring.loading import load, problems_of
from tunesmith_library_scoring.schemas import SchemaSource, json_of, same_json


def test_functions_of_files_and_modules(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def score():\n    return 3\n")
    assert load(f"{file}:score", "mine")() == 3 and load("math:floor", "mine")(1.5) == 1
    assert problems_of(f"{file}:score", "mine.path") == []
    (problem,) = problems_of(f"{file}:scor", "mine.path")
    assert str(problem.key) == "mine.path" and "did you mean score" in str(problem.advice)
    with pytest.raises(TunesmithError, match="mine: no_such_module cannot be imported"):
        load("no_such_module:score", "mine")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ([1, 2], [2, 1], False),
        ({"a": None}, {}, False),
        ("鲸", "鲸", True),
    ],
)
def test_equality_of_json(one, other, same):
    assert same_json(one, other) is same


def test_what_of_an_answer_is_json():
    assert json_of('[1, "二"]') == (True, [1, "二"]) and json_of("So:\n```json\n{}\n```") == (True, {})
    assert json_of("NaN") == json_of("so {}") == (False, None)


def test_the_schema_of_a_row():
    source = SchemaSource("mine", {}, None, "form")
    assert source.problems() == [] and source.of({"form": '{"type": "array"}'}) == {"type": "array"}
    (problem,) = SchemaSource("mine", {}, None, None).problems()
    assert problem.message == "no schema given."
