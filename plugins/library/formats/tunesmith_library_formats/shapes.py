"""Shapes that values may have. A format declares the shape of its records; `convert` says where one does not fit.

    SHAPE = Fields({"question": TEXT, "answers": ListOf(TEXT), **BESIDE})

`fits` is asked about every record, so it does no more than look at types; `fault` finds the place afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MESSAGES = (
    "`{path}` must be {what}, found {value}",
    *("{what} or a list of {item}", "a list of {what}", "a list of {count} × {what}", "{what}, also as JSON text"),
    *("a finite number", "a path or bytes", "a mapping", "true or false"),
)
"""What faults say, for catalogues of other languages."""


class Shape(Protocol):
    """What a value may be."""

    @property
    def name(self) -> str:
        """In messages: `text`, `a list of text`."""

    def fits(self, value: Any) -> bool: ...

    def fault(self, value: Any, path: str) -> str:
        """What is wrong with a value that does not fit: `history[0][1] must be text, found 3`."""


@dataclass(frozen=True)
class Of:
    """Values of some types."""

    name: str
    types: tuple[type, ...]

    def fits(self, value: Any) -> bool:
        return isinstance(value, self.types)

    def fault(self, value: Any, path: str) -> str:
        return _must_be(self.name, value, path)


@dataclass(frozen=True)
class Number:
    """Finite numbers; true and false are none."""

    name: str = "a finite number"

    def fits(self, value: Any) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300

    def fault(self, value: Any, path: str) -> str:
        return _must_be(self.name, value, path)


@dataclass(frozen=True)
class Medium:
    """An image, a video or a sound; images of PIL and arrays come from Python and from Arrow."""

    name: str = "a path or bytes"

    def fits(self, value: Any) -> bool:
        taken = isinstance(value, str | bytes | bytearray | dict | Mapping)
        return taken or hasattr(value, "getexif") or hasattr(value, "__array__")

    def fault(self, value: Any, path: str) -> str:
        return _must_be(self.name, value, path)


@dataclass(frozen=True)
class ListOf:
    """Lists whose items have a shape; of a fixed `length` if one is given."""

    item: Shape
    length: int | None = None

    @property
    def name(self) -> str:
        return f"a list of {self.item.name}" if self.length is None else f"a list of {self.length} × {self.item.name}"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or (self.length is not None and len(value) != self.length):
            return False
        return all(map(self.item.fits, value))

    def fault(self, value: Any, path: str) -> str:
        if not isinstance(value, list | tuple) or (self.length is not None and len(value) != self.length):
            return _must_be(self.name, value, path)
        index = next(index for index, item in enumerate(value) if not self.item.fits(item))
        return self.item.fault(value[index], f"{path}[{index}]")


@dataclass(frozen=True)
class Either:
    """Values that have one of several shapes."""

    shapes: tuple[Shape, ...]

    @property
    def name(self) -> str:
        return " or ".join(shape.name for shape in self.shapes)

    def fits(self, value: Any) -> bool:
        return any(shape.fits(value) for shape in self.shapes)

    def fault(self, value: Any, path: str) -> str:
        """The innermost fault, where a shape fits the value's outside: the list of a list with a wrong item."""
        inner = [shape.fault(value, path) for shape in self.shapes]
        deeper = [fault for fault in inner if not fault.startswith(f"`{path}` must be")]
        return deeper[0] if deeper else _must_be(self.name, value, path)


@dataclass(frozen=True)
class JsonText:
    """A value, or JSON text, which is looked at where it is parsed."""

    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.shape.name}, also as JSON text"

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) or self.shape.fits(value)

    def fault(self, value: Any, path: str) -> str:
        return self.shape.fault(value, path)


@dataclass(frozen=True)
class Fields:
    """Mappings with fields that each have a shape, or are missing, or null; other fields may hold anything."""

    fields: Mapping[str, Shape]
    name: str = "a mapping"

    def fits(self, value: Any) -> bool:
        if not isinstance(value, dict | Mapping):
            return False
        for name, shape in self.fields.items():
            item = value.get(name)
            if item is not None and not shape.fits(item):
                return False
        return True

    def fault(self, value: Any, path: str) -> str:
        if not isinstance(value, Mapping):
            return _must_be(self.name, value, path)
        name, shape = next(
            (name, shape)
            for name, shape in self.fields.items()
            if value.get(name) is not None and not shape.fits(value[name])
        )
        return shape.fault(value[name], f"{path}.{name}" if path else name)

    def checker(self, column_of: Callable[[str], str]) -> Callable[[Mapping[str, Any]], str]:
        """A function that says what is wrong with a record, "" for nothing.

        Args:
            column_of: under which name a record has a field, where the user renamed columns.
        """
        checks = [(column_of(name), shape, shape.fits) for name, shape in self.fields.items()]

        def fault(record: Mapping[str, Any]) -> str:
            for column, shape, fits in checks:
                value = record.get(column)
                if value is not None and not fits(value):
                    return shape.fault(value, column)
            return ""

        return fault


def one_of(*shapes: Shape) -> Either:
    """Either of some shapes."""
    return Either(shapes)


def shorten(value: Any) -> str:
    """A value as it may stand in an error message."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number with more digits than Python writes
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _must_be(what: str, value: Any, path: str) -> str:
    return f"`{path}` must be {what}, found {shorten(value)}"


TEXT = Of("text", (str,))
MAPPING = Of("a mapping", (dict, Mapping))
ANYTHING = Of("anything", (object,))
NUMBER = Number()
SWITCH = Of("true or false", (bool,))

MEDIUM = Medium()
CALLS = JsonText(one_of(MAPPING, ListOf(one_of(MAPPING, TEXT))))
TOOLS = JsonText(one_of(MAPPING, ListOf(one_of(MAPPING, TEXT))))
FUNCTION = Fields(
    {"name": TEXT, "description": TEXT, "parameters": one_of(MAPPING, ListOf(ANYTHING))}, "a mapping with a name"
)
"""What a tool offers; most have a JSON schema of `parameters`, some a list of them."""
MESSAGE = Fields(
    {
        "role": TEXT,
        "reasoning": TEXT,
        "reasoning_content": TEXT,
        "tool_calls": CALLS,
        "function_call": CALLS,
        "weight": one_of(NUMBER, TEXT),
        "loss_weight": one_of(NUMBER, TEXT),
    },
    "a message with role and content",
)
CONVERSATION = JsonText(one_of(MESSAGE, ListOf(MESSAGE)))
BESIDE: Mapping[str, Shape] = {
    "system": TEXT,
    "tools": TOOLS,
    "enable_thinking": one_of(SWITCH, TEXT),
    "weight": ANYTHING,
    "objects": ANYTHING,
    **dict.fromkeys(("images", "audios"), one_of(MEDIUM, ListOf(MEDIUM))),
    "videos": one_of(MEDIUM, ListOf(one_of(MEDIUM, ListOf(MEDIUM)))),  # a video may be a list of its frames
}
"""What may stand beside a conversation, see `finish`."""
