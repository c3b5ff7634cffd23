"""Texts that note what a template does with them, so that the same can be done with other texts.

A `Traced` is a text, and where it is from: pieces that are constant, and pieces that are made of a slot of the
conversation by methods of texts. What a template asks of it (`'</think>' in content`, `if content`) is answered, and
the answer noted: it must be the same for another conversation to be written in the same way. Whatever else can be done
with a text is refused, so that nothing of it reaches a rendering unnoticed.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jinja2 import Undefined

_CHANGES = frozenset(
    [
        "strip",
        "lstrip",
        "rstrip",
        "removeprefix",
        "removesuffix",
        "replace",
        "lower",
        "upper",
        "capitalize",
        "title",
        "swapcase",
        "casefold",
    ]
)
_SPLITS = frozenset(["split", "rsplit", "partition", "rpartition", "splitlines"])
_QUESTIONS = frozenset(
    [
        "startswith",
        "endswith",
        "find",
        "rfind",
        "index",
        "rindex",
        "count",
        "isdigit",
        "isspace",
        "isalpha",
        "isalnum",
        "isupper",
        "islower",
        "__contains__",
        "__len__",
    ]
)
_OF_OBJECTS = frozenset(  # that say nothing of the text
    [
        "__class__",
        "__delattr__",
        "__dir__",
        "__doc__",
        "__getattribute__",
        "__init__",
        "__init_subclass__",
        "__new__",
        "__setattr__",
        "__subclasshook__",
    ]
)
_MOST_PARTS = 64  # that a text is split into
_PLAIN = (str, int, float, bool, type(None), range, slice, Undefined)


class Untraceable(Exception):
    """A template does with a text what cannot be done again with another."""


class Made(NamedTuple):
    """A piece of a rendering that is made of a text of the conversation."""

    slot: int
    steps: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def of(self, texts: Sequence[str]) -> Any:
        """The piece, for other texts."""
        value: Any = texts[self.slot]
        for name, arguments in self.steps:
            value = getattr(value, name)(*arguments)
        return value


class Edge(NamedTuple):
    """Where the assistant begins, or ends, to speak."""

    opens: bool


Piece = str | Made | Edge


class Guard(NamedTuple):
    """What was asked of a text, and the answer."""

    made: Made
    question: str
    arguments: tuple[Any, ...]
    answer: Any

    def holds(self, texts: Sequence[str]) -> bool:
        """Whether other texts give the same answer."""
        answer: Any = _QUESTION[self.question](self.made.of(texts), *self.arguments)
        return bool(answer == self.answer)


_QUESTION: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "equal": lambda text, other: text == other,
    "item": lambda text, index: -len(text) <= index < len(text),
    "parts": lambda text, name, *arguments: len(getattr(text, name)(*arguments)),
    **{name: lambda text, *arguments, _name=name: getattr(text, _name)(*arguments) for name in _QUESTIONS},
}


@dataclass
class Notes:
    """What is noted during one rendering."""

    guards: list[Guard] = field(default_factory=list)
    day: datetime.date | None = None  # that the template wrote, or may have written


class Traced(str):
    """A text of which is noted what is done with it."""

    _pieces: tuple[Piece, ...]
    _notes: Notes

    def __new__(cls, text: str, pieces: tuple[Piece, ...], notes: Notes) -> Traced:
        made = super().__new__(cls, text)
        made._pieces, made._notes = pieces, notes
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: Any) -> Traced:
        return joined((self, other), self._notes) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: Any) -> Traced:
        return joined((other, self), self._notes) if isinstance(other, str) else NotImplemented

    def __bool__(self) -> bool:
        if not self._pieces or any(isinstance(piece, str) for piece in self._pieces):
            return bool(self._pieces)
        return bool(self._asked("bool", (), exact(self) != ""))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return False
        return bool(self._asked("equal", (plain(other),), str.__eq__(self, other)))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __getitem__(self, place: Any) -> Traced:
        if isinstance(place, int):
            self._asked("item", (place,), -str.__len__(self) <= place < str.__len__(self))
        return self._changed("__getitem__", (place,))

    @property
    def _made(self) -> Made:
        piece = self._pieces[0] if len(self._pieces) == 1 else None
        if not isinstance(piece, Made):
            raise Untraceable("a text that was put together is changed or looked at")
        return piece

    def _asked(self, question: str, arguments: tuple[Any, ...], answer: Any) -> Any:
        guard = Guard(self._made, question, arguments, answer)
        if guard not in self._notes.guards:
            self._notes.guards.append(guard)
        return answer

    def _changed(self, name: str, arguments: tuple[Any, ...]) -> Traced:
        made = self._made
        text = getattr(str, name)(self, *arguments)
        return Traced(text, (Made(made.slot, (*made.steps, (name, arguments))),), self._notes)

    def _split(self, name: str, arguments: tuple[Any, ...]) -> Any:
        made = self._made
        parts = getattr(str, name)(self, *arguments)
        if len(parts) > _MOST_PARTS:
            raise Untraceable(f"{name} gives many parts")
        self._asked("parts", (name, *arguments), len(parts))
        steps = (*made.steps, (name, arguments))
        return type(parts)(
            Traced(part, (Made(made.slot, (*steps, ("__getitem__", (index,)))),), self._notes)
            for index, part in enumerate(parts)
        )


def _method(name: str) -> Callable[..., Any]:
    def method(self: Traced, *arguments: Any, **named: Any) -> Any:
        if named:
            raise Untraceable(f"{name} with named arguments")
        given = tuple(plain(argument) for argument in arguments)
        if name in _CHANGES:
            return self._changed(name, given)
        if name in _SPLITS:
            return self._split(name, given)
        return self._asked(name, given, getattr(str, name)(self, *given))

    method.__name__ = name
    return method


def _refusing(name: str) -> Callable[..., Any]:
    def method(self: Traced, *arguments: Any, **named: Any) -> Any:
        raise Untraceable(f"{name} of a text")

    method.__name__ = name
    return method


for _name in _CHANGES | _SPLITS | _QUESTIONS:
    setattr(Traced, _name, _method(_name))
for _name in {*dir(str)} - _OF_OBJECTS - vars(Traced).keys():
    setattr(Traced, _name, _refusing(_name))
Traced.__hash__ = _refusing("__hash__")  # type: ignore[method-assign]  # which a class with `__eq__` has as None


def exact(text: str) -> str:
    """The text itself, of which nothing is noted."""
    return str.__str__(text)


def plain(value: Any) -> Any:
    """A value that is told to a method of a text; it must not be of the conversation itself.

    Raises: Untraceable.
    """
    if holds_traced(value):
        raise Untraceable("one text of the conversation is compared with another")
    return value


def holds_traced(value: Any) -> bool:
    """Whether a text of the conversation is in a value, or may be, for nobody can look into it."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list | tuple):
            if id(item) not in seen:
                seen.add(id(item))
                waiting += [*item, *item.values()] if isinstance(item, dict) else item
        elif isinstance(item, Traced) or not isinstance(item, _PLAIN):
            return True
    return False


def joined(parts: Iterable[str], notes: Notes) -> Traced:
    """Texts put together, with the pieces of each."""
    pieces: list[Piece] = []
    texts: list[str] = []
    for part in parts:
        text = exact(part)
        texts.append(text)
        for piece in part._pieces if isinstance(part, Traced) else (text,) if text else ():
            if isinstance(piece, str) and pieces and isinstance(pieces[-1], str):
                pieces[-1] += piece
            elif piece != "":
                pieces.append(piece)
    return Traced("".join(texts), tuple(pieces), notes)
