"""Fields are options, and their comments are documentation."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest
from tunesmith_library_configuration.options import configurable, is_configurable, options, type_name
from tunesmith_library_configuration.validate import instance, schema_of, structured


@dataclass(kw_only=True)
class Entry:
    """Nested."""

    SHORTHAND: ClassVar[str] = "path"
    path: str  # where it is
    weight: float = 1.0  # share


@configurable
class Base:
    """A base."""

    rank: int = 8  # rank of the update
    # several lines
    # become one
    target: list[str] = field(
        default_factory=lambda: ["all"],
    )
    _state: ClassVar[Any] = None  # no option


@configurable
class Derived(Base):
    """More options."""

    rank: int = 16  # another rank
    path: str  # a place; with a # in it
    kind: Literal["a", "b"] = "a"  # which

    entries: list[Entry] = field(default_factory=lambda: [Entry(path="x")])  # many
    limits: dict[str, float] | None = None  # by name
    text: str = "a # b"
    silent: bool = False


def test_options_in_order_with_docs_and_defaults():
    found = {option.name: option for option in options(Derived)}
    assert list(found) == ["rank", "target", "path", "kind", "entries", "limits", "text", "silent"]
    docs = [option.doc for option in found.values()]
    assert docs[:4] == ["another rank", "several lines become one", "a place; with a # in it", "which"]
    assert docs[4:] == ["many", "by name", "", ""]
    assert [name for name, option in found.items() if option.required] == ["path"]
    assert [option.default_text for option in found.values()] == [
        *("16", '["all"]', "required", "a"),
        *('[{"path": "x", "weight": 1.0}]', "null", "a # b", "false"),
    ]


def test_a_class_inside_a_function_is_documented_too():
    @configurable
    class Local:
        """A docstring
        with a line that is not indented."""

        size: int = 1  # in bytes

    assert [option.doc for option in options(Local)] == ["in bytes"]


def test_a_configurable_class_is_only_what_is_decorated_itself():
    class Sub(Base):
        pass

    assert is_configurable(Base) and is_configurable(Derived)
    assert not is_configurable(Sub) and not is_configurable(Base()) and not is_configurable(Entry)


def test_instances_are_told_apart_by_identity():
    assert Base() != Base()
    with pytest.raises(TypeError):
        Base(3)  # keyword only


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        *((int, "int"), (int | None, "int | null"), (Literal["a", 1], "a | 1"), (list[str], "list[str]")),
        *((dict[str, float], "dict[str, float]"), (Any, "any"), (Entry, "mapping"), (list[Entry], "list[mapping]")),
    ],
)
def test_types_as_users_read_them(annotation, text):
    assert type_name(annotation) == text


def test_lists_and_mappings_as_plain_defaults():
    @configurable
    class Skips:
        """Skips things."""

        skip: list[str] = []  # what to skip
        sizes: dict[str, int] = {"a": 1}  # by name

    one, other = Skips(), Skips()
    one.skip.append("x")
    one.sizes["b"] = 2
    assert (other.skip, other.sizes) == ([], {"a": 1})
    assert [option.default for option in options(Skips)] == [[], {"a": 1}]
    node, problems = structured(Skips, {"skip": ["y"]}, ("thing",), "thing")
    assert problems == [] and instance(Skips, node).skip == ["y"]


def test_what_an_instance_remembers_is_no_option():
    @configurable
    class Remembers:
        """Remembers."""

        rank: int = 8  # an option
        _seen: list[int] = []
        _model: object = None

    one, other = Remembers(rank=2), Remembers()
    one._seen.append(1)
    assert (other._seen, other._model) == ([], None)
    assert [option.name for option in options(Remembers)] == ["rank"]
    assert "_seen" not in schema_of(Remembers) and "_seen" not in repr(one)
    (problem,) = structured(Remembers, {"_seen": [1]}, ("thing",), "thing")[1]
    assert problem.message == "thing has no option _seen."
    with pytest.raises(TypeError):
        Remembers(_seen=[1])
