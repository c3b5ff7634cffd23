"""Values between the process of a program and the process of its test, as JSON.

What is data crosses as data and is made anew on the other side: numbers, texts, containers, arrays, some types of the
standard library. Anything else stays where it is and crosses as a number, for which the other side has a stand-in.
Nothing that arrives is looked up by a name that the sender chose, except in the tables of this module.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

_EXACT = 2**53  # larger numbers are written in base 16, which has no limit of digits
_VIEWS: dict[str, Callable[[Any], Any]] = {
    "dict_keys": lambda items: dict.fromkeys(items).keys(),
    "dict_items": lambda items: dict(items).items(),
}
_MADE: dict[type, Callable[[Any], list[Any]]] = {
    decimal.Decimal: lambda value: [str(value)],
    fractions.Fraction: lambda value: [value.numerator, value.denominator],
    datetime.date: lambda value: [value.year, value.month, value.day],
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    range: lambda value: [value.start, value.stop, value.step],
    slice: lambda value: [value.start, value.stop, value.step],
    complex: lambda value: [value.real, value.imag],
    datetime.datetime: lambda value: [value.isoformat()],
}
_TYPES: dict[str, Callable[..., Any]] = {made.__name__: made for made in _MADE}
_TYPES["datetime"] = datetime.datetime.fromisoformat


class Container(NamedTuple):
    """How one kind of container is made, what is in it, how it is filled, and what it has beside its items."""

    make: Callable[[Any], Any]
    items: Callable[[Any], list[Any]]
    fill: Callable[[Any, list[Any]], None]
    beside: Callable[[Any], Any] = lambda _: None


def _replace_dict(target: Any, items: list[Any]) -> None:
    target.clear()
    for key, value in items:
        target[key] = value


def _replace_set(target: Any, items: list[Any]) -> None:
    target.clear()
    target.update(items)


def _replace_sequence(target: Any, items: list[Any]) -> None:
    target.clear()
    target.extend(items)


def _pairs(value: Any) -> list[Any]:
    return list(value.items())


def is_builtin(value: Any) -> bool:
    """Whether something is a class of Python's own, which is known by its name everywhere."""
    return isinstance(value, type) and getattr(builtins, value.__name__, None) is value


def _default(value: Any) -> str | None:
    """The class of Python's that makes what a defaultdict lacks."""
    made = value.default_factory
    return str(made.__name__) if is_builtin(made) else None


CONTAINERS: dict[type, Container] = {
    list: Container(lambda _: [], list, _replace_sequence),
    bytearray: Container(lambda _: bytearray(), list, _replace_sequence),
    collections.deque: Container(
        lambda size: collections.deque(maxlen=size), list, _replace_sequence, lambda d: d.maxlen
    ),
    set: Container(lambda _: set(), list, _replace_set),
    dict: Container(lambda _: {}, _pairs, _replace_dict),
    collections.OrderedDict: Container(lambda _: collections.OrderedDict(), _pairs, _replace_dict),
    collections.Counter: Container(lambda _: collections.Counter(), _pairs, _replace_dict),
    collections.defaultdict: Container(
        lambda name: collections.defaultdict(_builtin(name) if name else None), _pairs, _replace_dict, _default
    ),
}
_CONTAINER_NAMES = {kind.__name__: kind for kind in CONTAINERS}
PLAIN = (int, float, str, bytes, tuple, frozenset, list, dict, set, bytearray)  # whose subclasses carry a value, too


def plain_base(kind: type) -> Any:
    """The type of data that a class is derived from, or None."""
    return next((base for base in kind.__mro__ if base in PLAIN), None)


def plain_value(value: Any) -> Any:
    """The data in an instance of a class that is derived from data."""
    return plain_base(type(value))(value)


class Parcel:
    """The containers of one request and its answer, which both sides know by their number."""

    def __init__(self) -> None:
        self.containers: list[Any] = []
        self._numbers: dict[int, int] = {}

    def add(self, container: Any) -> int:
        self._numbers[id(container)] = len(self.containers)
        self.containers.append(container)
        return len(self.containers) - 1

    def number(self, container: Any) -> int | None:
        return self._numbers.get(id(container))


class Packer:
    """Turns values into JSON; `export` says what an object that is not data becomes."""

    def __init__(self, export: Callable[[Any, Parcel], Any]) -> None:
        self._export = export

    def pack(self, value: Any, parcel: Parcel) -> Any:
        """What JSON can say of a value; a list whose first item says what the rest is, if it is more than a scalar."""
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if -_EXACT < value < _EXACT else ["int", hex(value)]
        if kind is float:
            return ["float", value.hex()]
        if kind is bytes:
            return ["bytes", value.hex()]
        if kind in (tuple, frozenset):
            return [kind.__name__, [self.pack(item, parcel) for item in value]]
        if kind in CONTAINERS:
            return self._container(value, parcel)
        if kind in _MADE:
            return ["made", kind.__name__, _MADE[kind](value)]
        if kind.__name__ in _VIEWS and kind.__module__ == "builtins":
            return ["view", kind.__name__, [self.pack(item, parcel) for item in value]]
        return self._other(value, parcel)

    def _container(self, value: Any, parcel: Parcel) -> Any:
        known = parcel.number(value)
        if known is not None:
            return ["same", known]
        parcel.add(value)  # before its items, which may hold it
        kind = type(value)
        return [kind.__name__, self.items(value, parcel), CONTAINERS[kind].beside(value)]

    def items(self, container: Any, parcel: Parcel) -> list[Any]:
        return [self.pack(item, parcel) for item in CONTAINERS[type(container)].items(container)]

    def _other(self, value: Any, parcel: Parcel) -> Any:
        if isinstance(value, type(sys)):
            return ["module", value.__name__]
        if is_builtin(value):
            return ["builtin", value.__name__]
        if value is Ellipsis or value is NotImplemented:
            return ["builtin", repr(value)]
        return _array(value) or self._export(value, parcel)


class Unpacker:
    """Makes values of JSON; `stand_in` says what an object that is not data becomes."""

    def __init__(self, stand_in: Callable[[list[Any], Parcel], Any]) -> None:
        self._stand_in = stand_in

    def unpack(self, spec: Any, parcel: Parcel) -> Any:
        """Raises: ValueError, TypeError, LookupError for what `Packer` has not made."""
        if not isinstance(spec, list):
            return spec
        tag, *rest = spec
        if tag in _CONTAINER_NAMES:
            made = CONTAINERS[_CONTAINER_NAMES[tag]].make(rest[1])
            parcel.add(made)
            self.fill(made, rest[0], parcel)
            return made
        if tag == "same":
            return parcel.containers[rest[0]]
        if tag in ("tuple", "frozenset"):
            return {"tuple": tuple, "frozenset": frozenset}[tag](self.unpack(item, parcel) for item in rest[0])
        if tag == "view":
            return _VIEWS[rest[0]]([self.unpack(item, parcel) for item in rest[1]])
        if tag in _SCALARS:
            return _SCALARS[tag](*rest)
        return self._stand_in(spec, parcel)

    def fill(self, container: Any, items: list[Any], parcel: Parcel) -> None:
        CONTAINERS[type(container)].fill(container, [self.unpack(item, parcel) for item in items])


def _made(name: str, arguments: list[Any]) -> Any:
    return _TYPES[name](*arguments)


def _builtin(name: str) -> Any:
    """A class of Python's own; no function, for a program could choose one that does its work here."""
    found = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}.get(name, getattr(builtins, name, None))
    if isinstance(found, type) or found in (Ellipsis, NotImplemented):
        return found
    raise ValueError(f"{name} is no class of Python's")


def _array(value: Any) -> list[Any] | None:
    """An array or number of NumPy's, if the program uses it."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value).__module__ != "numpy" or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    if value.dtype.kind not in "biufcSUmM":
        return None
    return ["array", value.dtype.str, list(value.shape), value.tobytes().hex(), isinstance(value, numpy.generic)]


def _read_array(kind: str, shape: list[int], content: str, number: bool) -> Any:
    numpy: Any = importlib.import_module("numpy")  # there, or the program would have none either
    if numpy.dtype(kind).hasobject:
        raise ValueError("an array of objects is not data")
    array = numpy.frombuffer(bytes.fromhex(content), kind).reshape(shape).copy()
    return array[()] if number else array


_SCALARS: dict[str, Callable[..., Any]] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "made": _made,
    "builtin": _builtin,
    "array": _read_array,
}
