"""Values in the form in which they were typed.

YAML takes `0123` for a number; where an option is a text, it is the text that was typed. Where an option is a list, one
item is a list of one, and a number in quotes is a number where an option is one.
"""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Mapping
from typing import Any

from tunesmith_library_configuration.keys import Key, Origin, Origins
from tunesmith_library_configuration.options import shorthand
from tunesmith_library_configuration.reading import read_value

_EXACT = 2**53  # whole numbers below it are exact as floats


def as_typed(annotation: Any, value: Any, key: Key, origins: Origins) -> Any:
    """A value in the form that a type asks for: the text that was typed, a number that was typed as a text, a list of
    the one item that stands for it. What no form suits is left as it is."""
    members = members_of(annotation)
    origin = origins.get(key)
    typed = _typed(value, origin)
    if any(_fits(member, value, typed) for member in members):
        fitting = next(member for member in members if _fits(member, value, typed))
        return _inside(fitting, value, key, origins)
    if typed is not None and any(member is str or typed in _literals(member) for member in members):
        return typed
    lists = [member for member in members if typing.get_origin(member) is list]
    if lists and isinstance(value, str | int | float | bool) and not (origin and origin.fault) and not _refers(value):
        item = value if typed is None else typed
        return [as_typed(typing.get_args(lists[0])[0], item, key, origins)]
    short = [member for member in members if shorthand(member)]
    if short and typed is not None and isinstance(value, int | float | bool):
        return typed
    return _number(members, value)


def _typed(value: Any, origin: Origin | None) -> str | None:
    """What was typed for a value, if that is where it comes from: a program's own words may have been translated."""
    if origin is None or origin.text is None:
        return None
    if origin.line is not None:
        whole = not isinstance(value, str | list | Mapping) and origin.text != ""
        return origin.text if whole and repr(read_value(origin.text, "")[0]) == repr(value) else None
    return origin.text if repr(read_value(origin.text, "")[0]) == repr(value) else None


def _fits(member: Any, value: Any, typed: str | None) -> bool:
    if member is Any:
        return True
    if member is str:
        return isinstance(value, str) and typed is None
    if member is type(None):
        return value is None and (typed is None or typed.strip() != "")
    if member in (bool, int, float):
        return type(value) is member or (member is float and type(value) is int)
    if typing.get_origin(member) in (list, dict):
        return isinstance(value, list if typing.get_origin(member) is list else Mapping)
    return value in _literals(member) if isinstance(value, str | int | float) else False


def _literals(member: Any) -> tuple[Any, ...]:
    return typing.get_args(member) if typing.get_origin(member) is typing.Literal else ()


def _inside(member: Any, value: Any, key: Key, origins: Origins) -> Any:
    """A list or mapping whose items are in the form that its type asks for."""
    arguments = typing.get_args(member)
    if typing.get_origin(member) is list:
        return [as_typed(arguments[0], item, key / index, origins) for index, item in enumerate(value)]
    if typing.get_origin(member) is dict:
        return {name: as_typed(arguments[1], item, key / str(name), origins) for name, item in value.items()}
    return value


def _number(members: tuple[Any, ...], value: Any) -> Any:
    """The number that a text or another number stands for: `"16"`, and `1e3` where it is to be whole."""
    if str in members or isinstance(value, bool) or _refers(value):
        return value
    if isinstance(value, str) and {int, float} & set(members):
        read = read_value(value.strip(), "")[0]
        value = read if type(read) in (int, float) else _converted(members, value)
    whole = int in members and float not in members and isinstance(value, float) and abs(value) < _EXACT
    return int(value) if whole and value.is_integer() else value


def _converted(members: tuple[Any, ...], value: str) -> Any:
    """What Python, but not YAML, takes for a number: `nan`."""
    for kind in (kind for kind in (int, float) if kind in members):
        with contextlib.suppress(ValueError):
            return kind(value)
    return value


def literals_of(annotation: Any) -> tuple[Any, ...]:
    """The values that are possible, of a type that says so and takes no other text; () for any other."""
    members = members_of(annotation)
    return () if str in members or Any in members else tuple(value for member in members for value in _literals(member))


def _refers(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The types of which a value may be one: `str` and `None` of `str | None`."""
    unions = (typing.Union, types.UnionType)
    return typing.get_args(annotation) if typing.get_origin(annotation) in unions else (annotation,)
