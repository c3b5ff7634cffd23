"""JSON Schema of a plugin's options."""

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jsonschema
from tunesmith import plugin
from tunesmith.cli.schema import json_schema, options_schema
from tunesmith.options import is_plugin
from tunesmith.ranges import Range, above, at_least


@dataclass(kw_only=True)
class Entry:
    """Nested."""

    SHORTHAND: ClassVar[str] = "path"
    path: str  # where it is
    weight: float = 1.0  # share


@plugin
class Base:
    """A base."""

    rank: int = 8  # rank of the update
    # several lines
    # become one
    target: list[str] = field(
        default_factory=lambda: ["all"],
    )
    _state: ClassVar[Any] = None  # no option


@plugin
class Derived(Base):
    """More options."""

    rank: int = 16  # another rank
    path: str  # a place; with a # in it
    kind: Literal["a", "b"] = "a"  # which

    entries: list[Entry] = field(default_factory=lambda: [Entry(path="x")])  # many
    limits: dict[str, float] | None = None  # by name
    text: str = "a # b"
    silent: bool = False


@plugin
class Thing:
    """Has numbers."""

    rank: Annotated[int, at_least(1)] = 8  # of a matrix
    rate: Annotated[float, above(0)] | None = None  # per step
    betas: list[Annotated[float, Range(0, 1, high_excluded=True)]] = [0.9, 0.999]  # decays
    ranks: dict[str, Annotated[int, at_least(1)]] = {}  # by layer
    loud: bool = False  # no number


def test_a_plugin_is_only_what_is_decorated_itself():
    class Sub(Base):
        pass

    assert is_plugin(Base) and is_plugin(Derived)
    assert not is_plugin(Sub) and not is_plugin(Base()) and not is_plugin(Entry)


def test_the_schema_accepts_what_is_right_and_refuses_the_rest():
    schema = json.loads(json.dumps(options_schema(Derived)))
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    right = {"rank": 2, "kind": "b", "entries": ["x.json", {"path": "y", "weight": 2}], "limits": {"a": 1.5}}
    assert valid(right) and valid({"limits": None})
    for wrong in (
        {"rank": "x"},
        {"kind": "c"},
        {"rnak": 1},
        {"entries": [{"pth": "y"}]},
        {"entries": "x"},
        {"limits": {"a": "b"}},
    ):
        assert not valid(wrong), wrong
    assert schema["properties"]["entries"]["default"] == [{"path": "x", "weight": 1.0}]
    assert schema["properties"]["rank"]["description"] == "another rank"


def test_a_type_without_schema_accepts_everything():
    assert json_schema(Any) == {}


def test_it_shows_ranges() -> None:
    properties = options_schema(Thing)["properties"]
    assert properties["rank"]["minimum"] == 1 and "minimum" not in properties["loud"]
    assert {"type": "number", "exclusiveMinimum": 0} in properties["rate"]["anyOf"]
    assert properties["betas"]["items"] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
    assert properties["ranks"]["additionalProperties"] == {"type": "integer", "minimum": 1}
