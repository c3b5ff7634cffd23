"""What tools declare of their arguments tells bare values."""

from typing import Any

import pytest
from tunesmith_library_chat.declarations import declared

_PLACE = {"type": "object", "properties": {"name": {"type": "string"}, "near": {"$ref": "#/$defs/Place"}}}


def value(schema: dict[str, Any], text: str) -> Any:
    """What a bare text is as an argument of this schema."""
    tool = {
        "name": "f",
        "parameters": {"properties": {"x": schema}, "$defs": {"Place": _PLACE, "Text": {"type": "string"}}},
    }
    return declared([{"type": "function", "function": tool}])["f"].inside("x").value(text)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "string"}, "42", "42"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, "", ""),
        ({"type": "STRING"}, "true", "true"),
        ({"type": "str"}, "1", "1"),
        ({"type": "integer"}, "42", 42),
        ({"type": "integer"}, "many", "many"),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "null"}, "None", None),
        ({"type": "array"}, "", []),
        ({"type": "object"}, " ", {}),
        ({"type": ["array", "null"]}, "[1, 2]", [1, 2]),
        ({"type": ["string", "null"]}, "42", "42"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "42", 42),
        ({"type": ["string", "integer"]}, "4.5", "4.5"),
        ({"type": ["string", "number"]}, "4", 4),
        ({"type": "string", "nullable": True}, "null", None),
        ({"type": "string", "nullable": True}, "7", "7"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "7", "7"),
        ({"oneOf": [{"$ref": "#/$defs/Text"}, {"type": "boolean"}]}, "7", "7"),
        ({"allOf": [{"description": "a"}, {"$ref": "#/$defs/Text"}]}, "7", "7"),
        ({"$ref": "#/$defs/Text"}, "7", "7"),
        ({"$ref": "#/$defs/Nowhere"}, "7", 7),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "1"}, "1", "1"),
        ({"$ref": "#/$defs/Place"}, '{"name": "7"}', {"name": "7"}),
        ({}, "42", 42),
        ({}, "{'a': None}", {"a": None}),
        ({}, "None of it", "None of it"),
        ({}, '"quoted"', '"quoted"'),
        ({}, "NaN", "NaN"),
        ({}, "1e999", "1e999"),
        ({}, "[1, Infinity]", "[1, Infinity]"),
    ],
)
def test_values(schema: dict[str, Any], text: str, expected: Any) -> None:
    found = value(schema, text)
    assert found == expected and type(found) is type(expected)


def test_what_is_declared_within() -> None:
    tool = {"name": "f", "parameters": {"properties": {"x": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]}}}}
    tool["parameters"]["$defs"] = {"Place": _PLACE}
    place = declared([tool])["f"].inside("x")
    assert place.kinds == {"object", "null"}
    assert place.inside("near").inside("near").inside("name").kinds == {"string"}
    assert not place.inside("else").kinds
    listed = declared([{"name": "f", "parameters": {"properties": {"x": {"items": {"type": "string"}}}}}])["f"].inside(
        "x"
    )
    assert listed.kinds == {"array"} and listed.item.kinds == {"string"}
    open_ended = declared([{"name": "f", "parameters": {"additionalProperties": {"type": "string"}}}])["f"]
    assert open_ended.inside("anything").kinds == {"string"}


def test_references_without_end() -> None:
    loop = {
        "name": "f",
        "parameters": {"properties": {"x": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
    }
    assert declared([loop])["f"].inside("x").value("7") == 7


@pytest.mark.parametrize("tool", [{"name": "f"}, {"name": "f", "parameters": None}, {"name": "f", "parameters": []}])
def test_tools_that_declare_nothing(tool: dict[str, Any]) -> None:
    assert declared([tool])["f"].inside("x").value("7") == 7
