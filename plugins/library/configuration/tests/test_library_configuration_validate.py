"""Values against fields: every mistake with its whole path and what is possible."""

import itertools
import warnings
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from omegaconf import OmegaConf
from tunesmith_library_configuration.errors import OptionsError
from tunesmith_library_configuration.keys import Key
from tunesmith_library_configuration.options import configurable
from tunesmith_library_configuration.secrets import without_secrets
from tunesmith_library_configuration.validate import instance, resolve, structured


@dataclass(kw_only=True)
class Column:
    """Nested twice."""

    name: str  # as in the file
    scale: float = 1.0  # times


@dataclass(kw_only=True)
class Entry:
    """Nested."""

    SHORTHAND: ClassVar[str] = "path"
    path: str  # a file
    weight: float = 1.0  # share
    columns: list[Column] = field(default_factory=list)  # of it


@configurable
class Thing:
    """Options of every type."""

    path: str  # where it is
    rank: int = 8  # rank
    rate: float | None = 0.1  # rate
    on: bool = False  # switch
    kind: Literal["first", "second", 3] = "first"  # which
    names: list[str] = field(default_factory=list)  # some
    size: int | str = 1  # a number or auto
    entry: Entry | None = None  # one
    entries: list[Entry] = field(default_factory=list)  # many
    maybe: list[Entry] | None = None  # many or none
    by_name: dict[str, Entry] = field(default_factory=dict)  # by name
    grid: dict[str, list[Entry]] = field(default_factory=dict)  # by name, many each
    texts: dict[str, str] = field(default_factory=dict)  # by name


def check(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        node, problems = structured(Thing, {"path": "p", **values}, ("thing",), "thing=this")
    return node, [(str(problem.key), problem.message, problem.advice) for problem in problems]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"rank": "16"}, 16),
        *(({"rate": 1}, 1.0), ({"rate": "1e-3"}, 1e-3), ({"rate": None}, None), ({"on": "yes"}, True)),
        *(({"kind": 3}, 3), ({"names": []}, []), ({"names": ["a", 1]}, ["a", "1"]), ({"size": "auto"}, "auto")),
        ({"entry": "a"}, {"path": "a", "weight": 1.0, "columns": []}),
        ({"entries": ["a", {"path": "b", "weight": 2}]}, [("a", 1.0), ("b", 2.0)]),
        ({"maybe": [{"path": "b"}]}, [("b", 1.0)]),
        ({"maybe": None}, None),
        ({"by_name": {"x": "a"}}, {"x": {"path": "a", "weight": 1.0, "columns": []}}),
        ({"grid": {"x": ["a"]}}, {"x": [{"path": "a", "weight": 1.0, "columns": []}]}),
    ],
)
def test_what_is_right_is_taken_over_without_a_warning(values, expected):
    node, problems = check(values)
    assert problems == []
    (name,) = values
    found = OmegaConf.to_container(node)[name]
    if isinstance(expected, list) and expected and isinstance(expected[0], tuple):
        found = [(entry["path"], entry["weight"]) for entry in found]
    assert found == expected and type(found) is type(expected)
    assert type(getattr(OmegaConf.to_object(node), name)) is not dict or name in ("by_name", "grid")


@pytest.mark.parametrize(
    ("values", "key", "message", "advice"),
    [
        ({"rnak": 1}, "thing.rnak", "thing=this has no option rnak.", "did you mean rank?"),
        ({"rank": "x"}, "thing.rank", "thing.rank cannot be 'x'.", "type: int"),
        ({"rank": 1.5}, "thing.rank", "thing.rank cannot be 1.5.", "type: int"),
        ({"rank": None}, "thing.rank", "thing.rank cannot be None.", "type: int"),
        ({"rank": True}, "thing.rank", "thing.rank cannot be True.", "type: int"),
        ({"on": "maybe"}, "thing.on", "thing.on cannot be 'maybe'.", "type: bool"),
        ({"kind": "frist"}, "thing.kind", "thing.kind cannot be 'frist'.", "3, first, second   did you mean first?"),
        ({"names": {"a": 1}}, "thing.names", "thing.names cannot be {'a': 1}.", "type: list[str]"),
        ({"size": [1]}, "thing.size", "thing.size cannot be [1].", "type: int | str"),
        ({"path": {"a": 1}}, "thing.path", "thing.path cannot be {'a': 1}.", "type: str"),
        ({"entries": {"path": "a"}}, "thing.entries", "thing.entries cannot be {'path': 'a'}.", "type: list[mapping]"),
        ({"entries": {"0": {"path": "a"}}}, "thing.entries", "cannot be {'0':", "write 'thing.entries[0].path=a'"),
        ({"names": {"2": "b"}}, "thing.names", "cannot be {'2': 'b'}.", "in brackets: write 'thing.names[2]=b'"),
        ({"entries": [3]}, "thing.entries[0]", "thing.entries[0] cannot be 3.", "or a string for its path"),
        ({"entries": ["a", {"pth": "b", "path": "c"}]}, "thing.entries[1].pth", "no option pth.", "mean path?"),
        ({"entries": [{"path": "a", "weight": "x"}]}, "thing.entries[0].weight", "weight cannot be 'x'.", "float"),
        ({"entries": [{}]}, "thing.entries[0].path", "thing.entries[0] needs path: a file.", "type: str"),
        ({"maybe": [{"weight": 1}]}, "thing.maybe[0].path", "needs path", "type: str"),
        ({"by_name": {"x": {"path": "p", "w": 1}}}, "thing.by_name.x.w", "has no option w.", "path, weight"),
        ({"grid": {"x": [{"path": "p", "w": 1}]}}, "thing.grid.x[0].w", "has no option w.", "path, weight"),
        (
            {"entry": {"path": "a", "columns": [{"name": "n", "scale": "x"}]}},
            *("thing.entry.columns[0].scale", "thing.entry.columns[0].scale cannot be 'x'.", "type: float"),
        ),
    ],
)
def test_what_is_wrong_has_its_place_and_what_is_possible(values, key, message, advice):
    _, problems = check(values)
    assert len(problems) == 1, problems
    assert problems[0][0] == key
    assert problems[0][1].endswith(message) or message in problems[0][1]
    assert advice in problems[0][2]


def test_all_mistakes_at_once():
    _, problems = check({"rnak": 1, "rank": "x", "entries": [{"weight": "y"}, {"path": 1, "a": 2}]})
    keys = ["thing.rnak", "thing.rank", "thing.entries[0].weight", "thing.entries[0].path", "thing.entries[1].a"]
    assert [key for key, _, _ in problems] == keys


@pytest.mark.parametrize("values", [{}, {"path": "???"}])
def test_a_required_value_is_asked_for_with_its_documentation(values):
    _, problems = structured(Thing, values, ("thing",), "thing=this")
    assert [(problem.message, problem.advice) for problem in problems] == [
        ("thing=this needs thing.path: where it is.", "type: str")
    ]


def test_a_long_value_is_shortened():
    _, problems = check({"rank": "x" * 500})
    assert len(problems[0][1]) < 120


def test_interpolations_are_kept_and_resolved_later():
    values = {"path": "${thing.kind}-${thing.rank}", "rate": "${thing.rank}"}
    node, problems = structured(Thing, {**values, "entries": ["${thing.path}"]}, ("thing",), "thing=this")
    assert problems == []
    root = OmegaConf.create({"thing": node})
    data, problems = resolve(root.thing, ("thing",))
    assert problems == []
    assert data["path"] == "first-8" and data["rate"] == 8.0
    assert data["entries"] == [{"path": "first-8", "weight": 1.0, "columns": []}]


@pytest.mark.parametrize(
    ("value", "key", "message"),
    [
        ({"rank": "${thing.rnak}"}, "thing.rank", "Interpolation key 'thing.rnak' not found"),
        ({"rank": "${thing.kind}"}, "thing.rank", "'first'"),
        ({"entries": [{"path": "${nowhere}"}]}, "thing.entries[0].path", "Interpolation key 'nowhere' not found"),
        ({"rank": "${oc.env:SURELY_NOT_SET}"}, "thing.rank", "SURELY_NOT_SET"),
    ],
)
def test_interpolations_that_lead_nowhere(value, key, message):
    node, problems = structured(Thing, {"path": "p", **value}, ("thing",), "thing=this")
    assert problems == []
    _, problems = resolve(OmegaConf.create({"thing": node}).thing, ("thing",))
    assert [str(problem.key) for problem in problems] == [key]
    assert f"{key} cannot be resolved" in problems[0].message and message in problems[0].message


@pytest.mark.parametrize(
    "step", ["${thing.texts.%s}", "${thing[texts][%s]}", "${.%s}"], ids=["whole keys", "brackets", "beside it"]
)
def test_references_that_multiply_are_not_followed(step):
    """Ten times ten times … a text of ten characters, nine times over: 10 GB."""
    texts = {"a": "x" * 10} | {new: step % old * 10 for old, new in itertools.pairwise("abcdefghij")}
    node, problems = structured(Thing, {"path": "p", "texts": texts}, ("thing",), "thing=this")
    assert problems == []
    data, problems = resolve(OmegaConf.create({"thing": node}).thing, Key("thing"))
    (problem,) = problems
    assert str(problem.key) == "thing.texts" and "texts" not in data
    length = int(problem.message.split("would have ")[1].split()[0].replace(",", ""))
    assert 10**10 < length < 10**11


@pytest.mark.parametrize(
    ("written", "meant"), [(r"\${price}", "${price}"), (r"\\\${x}", r"\${x}"), (r"a \${b", "a ${b"), (r"\$", r"\$")]
)
def test_what_is_no_reference_stays_text(written, meant):
    node, problems = structured(Thing, {"path": written}, ("thing",), "thing=this")
    data, more = resolve(OmegaConf.create({"thing": node}).thing, Key("thing"))
    assert [*problems, *more] == [] and data["path"] == meant
    assert instance(Thing, data).path == meant
    again, _ = structured(Thing, without_secrets(data), ("thing",), "thing=this")  # as it stands in a record
    assert resolve(OmegaConf.create({"thing": again}).thing, Key("thing"))[0]["path"] == meant


def test_an_interpolation_that_cannot_be_read():
    _, problems = check({"rank": "${a"})
    assert problems == [("thing.rank", "thing.rank cannot be '${a'.", "type: int")]


def test_a_field_that_no_configuration_can_hold():
    @configurable
    class Odd:
        """A set is no YAML."""

        names: set[int] = field(default_factory=set)  # some

    with pytest.raises(OptionsError, match=r"Odd\.names is not an option that a configuration can hold: .*set\[int\]"):
        structured(Odd, {}, (), "odd")
