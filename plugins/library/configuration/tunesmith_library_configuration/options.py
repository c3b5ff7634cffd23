"""`@configurable`: a dataclass whose fields are options, and the reading of those fields as documentation."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import inspect
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from tunesmith_library_configuration.ranges import Range, range_of
from tunesmith_library_configuration.texts import Text, text_of

T = TypeVar("T")

_MARK = "__configurable__"


@dataclass_transform(kw_only_default=True, eq_default=False)
def configurable(cls: type[T]) -> type[T]:
    """Make a class a dataclass whose fields are options.

    Its instances are given their options by name, and are told apart by identity. Defaults that are lists, mappings or
    sets may be written as they are (`skip: list[str] = []`): every instance gets its own copy. What an instance
    remembers is a field too, with a name that begins with `_` and a default; it is no option.
    """
    for name, annotation in inspect.get_annotations(cls).items():
        if "ClassVar" in str(annotation):
            continue
        default = cls.__dict__.get(name, dataclasses.MISSING)
        mutable = type(default).__hash__ is None
        if name.startswith("_") and not isinstance(default, dataclasses.Field) and default is not dataclasses.MISSING:
            setattr(cls, name, dataclasses.field(init=False, repr=False, **_default(default, mutable)))
        elif mutable:
            setattr(cls, name, dataclasses.field(**_default(default, mutable)))
    made = dataclasses.dataclass(eq=False, kw_only=True)(cls)
    setattr(made, _MARK, made)
    return made


def _default(value: Any, mutable: bool) -> dict[str, Any]:
    return {"default_factory": functools.partial(copy.deepcopy, value)} if mutable else {"default": value}


def is_configurable(thing: object) -> bool:
    """Whether `thing` is a class that `@configurable` was put on itself (not only on a base of it)."""
    return isinstance(thing, type) and thing.__dict__.get(_MARK) is thing


@dataclasses.dataclass(frozen=True)
class Option:
    """One field, as its documentation reads it."""

    name: str
    type: Any  # the resolved annotation
    default: Any  # dataclasses.MISSING when the user must give it
    of: type  # the class whose field it is
    range: Range | None = None  # of its number, or of the numbers in it
    text: Text | None = None  # what its text, or the texts in it, may be

    @property
    def doc(self) -> str:
        """Its comment; the source is read when it is asked for."""
        return _field_docs(self.of).get(self.name, "")

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def type_name(self) -> str:
        return f"{type_name(self.type)}, {self.range}" if self.range else type_name(self.type)

    @property
    def default_text(self) -> str:
        """The default as YAML would write it."""
        if self.required:
            return "required"
        return str(self.default) if self.default and isinstance(self.default, str) else json.dumps(plain(self.default))


def plain(value: Any) -> Any:
    """A default as plain data: nested dataclasses become mappings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def options(cls: type) -> list[Option]:
    """The options of a dataclass, in the order of their definition."""
    hints, ranges = typing.get_type_hints(cls), typing.get_type_hints(cls, include_extras=True)
    found = []
    for item in dataclasses.fields(cls):
        if item.name.startswith("_"):
            continue
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        name, full = item.name, ranges[item.name]
        found.append(Option(name, hints[name], default, cls, range_of(full), text_of(full)))
    return found


@functools.cache
def fields_of(cls: type) -> type:
    """A dataclass of a class's options and no more, as OmegaConf reads it: without what an instance remembers.

    A plain dataclass, such as one nested in a configurable class, is its own.
    """
    if not is_configurable(cls):
        return cls
    made = []
    for option in options(cls):
        given: dict[str, Any] = (
            {} if option.required else _default(option.default, type(option.default).__hash__ is None)
        )
        made.append((option.name, option.type, dataclasses.field(**given)))
    return dataclasses.make_dataclass(cls.__name__, made, kw_only=True)


@functools.cache
def _field_docs(cls: type) -> dict[str, str]:
    """The comments of the fields, those of its bases included: behind a field, or on the lines right above it."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            docs |= _own_docs(base)
    return docs


@functools.cache
def _own_docs(cls: type) -> dict[str, str]:
    """The comments of a class's own fields; none where nobody knows how it is written."""
    try:
        known = _docs_in(inspect.getsourcefile(cls) or "")
        if cls.__qualname__ in known:
            return known[cls.__qualname__]
        source = inspect.getsource(cls)
    except (OSError, TypeError, SyntaxError):
        return {}
    if source[:1].isspace():  # a class inside a function
        source = f"if True:\n{source}"
    made = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return docs_of(made, source.splitlines())


@functools.cache
def _docs_in(file: str) -> dict[str, dict[str, str]]:
    """Those of the classes at the top level of a file that are defined once, read once for all of them."""
    source = Path(file).read_text(encoding="utf-8")
    made, lines = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)], source.splitlines()
    names = [node.name for node in made]
    return {node.name: docs_of(node, lines) for node in made if names.count(node.name) == 1}


def docs_of(made: ast.ClassDef, lines: list[str]) -> dict[str, str]:
    fields = [node for node in made.body if isinstance(node, ast.AnnAssign)]
    return {node.target.id: _comment_of(node, lines) for node in fields if isinstance(node.target, ast.Name)}


def _comment_of(node: ast.AnnAssign, lines: list[str]) -> str:
    end_line = lines[(node.end_lineno or node.lineno) - 1]
    behind = end_line.encode()[node.end_col_offset or 0 :].decode().strip()
    if behind.startswith("#"):
        return behind.lstrip("# ")
    above: list[str] = []
    number = node.lineno - 2
    while number >= 0 and lines[number].strip().startswith("#"):
        above.insert(0, lines[number].strip().lstrip("# "))
        number -= 1
    return " ".join(above)


def type_name(annotation: Any) -> str:
    """A type as a user reads it: `int`, `int | null`, `"a" | "b"`, `list[str]`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(argument) for argument in arguments)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(type_name(argument) for argument in arguments)}]"
    if annotation is Any:
        return "any"
    return "mapping" if dataclasses.is_dataclass(annotation) else getattr(annotation, "__name__", str(annotation))


def shorthand(cls: Any) -> str | None:
    """The field that a plain string stands for in a nested dataclass: its `SHORTHAND` class attribute."""
    return getattr(cls, "SHORTHAND", None)


def known_as(cls: type) -> dict[str, tuple[str, str | None]]:
    """What options are called elsewhere, by the class attribute `known_as`: the option, and the value that such a name
    stands for (`{"load_in_4bit": "bits=4"}`), None for whatever is written."""
    said: dict[str, str] = getattr(cls, "known_as", {})
    split = {elsewhere: ours.partition("=") for elsewhere, ours in said.items()}
    return {elsewhere: (ours, value if sign else None) for elsewhere, (ours, sign, value) in split.items()}
