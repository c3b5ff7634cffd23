"""What stands for a program's objects in the process of the test.

The program decides what its own objects do among themselves. It never sees what the test compares them with: beside a
value of the test's, an object of the program's equals nothing, is not ordered, and has no difference. So an object
that claims to equal everything passes no test that asks for a literal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conversation import Conversation

_KNOWN_ATTRIBUTES = ("__name__", "__qualname__", "__wrapped__", "__annotations__", "__defaults__")
_COMPARED = ("lt", "le", "gt", "ge")
_JOINED = ("add", "mul", "matmul")  # with a value of the test's, too: nobody compares by adding
_CALCULATED = (
    *_JOINED,
    *("sub", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and", "or", "xor"),
)
_ALONE = ("neg", "pos", "abs", "invert", "int", "float", "complex", "index", "len", "bool", "iter", "next", "reversed")
_METHODS = ("round", "trunc", "floor", "ceil", "enter", "exit", "format")


class Class(type):
    """A class of the program's; what is called or asked for happens in its process."""

    conversation: Conversation
    number: int

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return cls.conversation.ask("call", cls, list(arguments), named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls.conversation.ask("get", cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        cls.conversation.ask("set", cls, name, value)

    def __iter__(cls) -> Any:
        return cls.conversation.ask("apply", "iter", cls)

    def __getitem__(cls, key: Any) -> Any:
        return cls.conversation.ask("apply", "getitem", cls, key)

    def __len__(cls) -> int:
        return int(cls.conversation.ask("apply", "len", cls))

    def __instancecheck__(cls, value: Any) -> bool:
        return is_theirs(value) and bool(cls.conversation.ask("apply", "isinstance", value, cls))

    def __subclasscheck__(cls, kind: Any) -> bool:
        if BaseException in cls.__mro__:  # has its bases here, too
            return cls in kind.__mro__
        return isinstance(kind, Class) and bool(cls.conversation.ask("apply", "issubclass", kind, cls))


class Object:
    """An instance of such a class."""

    _number: int
    _conversation: Conversation

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _KNOWN_ATTRIBUTES:
            raise AttributeError(name)
        return self._conversation.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._conversation.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._conversation.ask("delete", self, name)

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        if not is_theirs(other):
            return NotImplemented
        return bool(self._conversation.ask("apply", "eq", self, other))

    def __hash__(self) -> int:
        return int(self._conversation.ask("apply", "hash", self))

    def __str__(self) -> str:
        return _text(self._conversation.ask("apply", "str", self))

    def __repr__(self) -> str:
        return _text(self._conversation.ask("apply", "repr", self))

    def __getitem__(self, key: Any) -> Any:
        return self._conversation.ask("apply", "getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._conversation.ask("apply", "setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._conversation.ask("apply", "delitem", self, key)

    def __contains__(self, item: Any) -> bool:
        """By going through it: `__contains__` of the program's would be told what is looked for."""
        if is_theirs(item):
            return bool(self._conversation.ask("apply", "contains", self, item))
        return any(item is one or item == one for one in iter(self))

    def __copy__(self) -> Any:
        return self._conversation.ask("apply", "copy", self)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._conversation.ask("apply", "deepcopy", self)


def stand_in_class(conversation: Conversation, number: int, name: str, bases: tuple[type, ...]) -> Class:
    """A class that stands for one of the program's."""
    made: Class = Class.__new__(Class, name, bases, {"_conversation": conversation})
    type.__setattr__(made, "conversation", conversation)
    type.__setattr__(made, "number", number)
    return made


class Called(Object):
    """An object that can be called, as functions are."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._conversation.ask("call", self, list(arguments), named)


def is_theirs(value: Any) -> bool:
    """Whether a value is an object, a class or an exception of the program's."""
    return isinstance(value, Class) or isinstance(type(value), Class)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("the program's text is none")
    return value


def _compared(name: str) -> Callable[[Object, Any], Any]:
    def compare(self: Object, other: Any) -> Any:
        if not is_theirs(other):
            return NotImplemented
        return bool(self._conversation.ask("apply", name, self, other))

    return compare


def _calculated(name: str, swapped: bool) -> Callable[[Object, Any], Any]:
    def calculate(self: Object, other: Any) -> Any:
        if not is_theirs(other) and name not in _JOINED:
            raise TypeError(f"{name} of the program's object and a value of the test's: it would be told the value")
        pair = (other, self) if swapped else (self, other)
        return self._conversation.ask("apply", {"and": "and_", "or": "or_"}.get(name, name), *pair)

    return calculate


def _alone(name: str) -> Callable[[Object], Any]:
    return lambda self: self._conversation.ask("apply", name, self)


def _method(name: str) -> Callable[..., Any]:
    def call(self: Object, *values: Any) -> Any:
        if name == "exit":
            values = (None, None, None) if values[0] is None else (values[0], values[1], None)
        return self._conversation.ask("method", self, f"__{name}__", *values)

    return call


for _name in _COMPARED:
    setattr(Object, f"__{_name}__", _compared(_name))
for _name in _CALCULATED:
    setattr(Object, f"__{_name}__", _calculated(_name, swapped=False))
    setattr(Object, f"__r{_name}__", _calculated(_name, swapped=True))
for _name in _ALONE:
    setattr(Object, f"__{_name}__", _alone(_name))
for _name in _METHODS:
    setattr(Object, f"__{_name}__", _method(_name))
