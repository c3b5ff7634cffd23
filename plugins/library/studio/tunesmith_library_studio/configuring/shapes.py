"""What a form shows for an option: the shape of its values, read from the annotation of the field."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from tunesmith.options import Option, options, plain, shorthand
from tunesmith_library_configuration.ranges import Range

_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "text"}


def option_form(option: Option, guarded: tuple[str, ...] = ()) -> dict[str, Any]:
    """One option as a form needs it.

    Returns: `name`, `help`, `type` as people read it, `required`, `default` (missing where required), `shape`, and
        `guarded: true` for one that has code run or says where files are written.
    """
    made = {"name": option.name, "help": option.doc, "type": option.type_name, "required": option.required}
    if not option.required:
        made["default"] = plain(option.default)
    if option.name in guarded:
        made["guarded"] = True
    return {**made, "shape": shape(option.type, option.range)}


def shape(annotation: Any, allowed: Range | None = None) -> dict[str, Any]:
    """The shape of an annotation's values.

    Returns: `kind` (boolean, integer, number, text, choice, list, map, group, union, any), with `optional: true` where
        null is possible; a choice has `choices`, numbers the keywords of JSON Schema for their range, lists and maps an
        `item`, groups `fields` and perhaps a `shorthand`, unions `members`.
    """
    members = _members(annotation)
    some = [member for member in members if member is not type(None)]
    made = _shape(some[0], allowed) if len(some) == 1 else _union(some, allowed)
    return {**made, "optional": True} if len(some) < len(members) else made


def _shape(annotation: Any, allowed: Range | None) -> dict[str, Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (int, float):
        return {"kind": _PLAIN[annotation], **(allowed.json_schema() if allowed else {})}
    if annotation in _PLAIN:
        return {"kind": _PLAIN[annotation]}
    if origin is typing.Literal:
        return {"kind": "choice", "choices": list(arguments)}
    if origin is list:
        return {"kind": "list", "item": shape(arguments[0], allowed)}
    if origin is dict:
        return {"kind": "map", "item": shape(arguments[1], allowed)}
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        fields = [option_form(option) for option in options(annotation)]
        short = shorthand(annotation)
        return {"kind": "group", "fields": fields, **({"shorthand": short} if short else {})}
    return {"kind": "any"}


def _union(members: list[Any], allowed: Range | None) -> dict[str, Any]:
    """Of choices and plain values: `int | Literal["auto"]`."""
    return {"kind": "union", "members": [_shape(member, allowed) for member in members]}


def _members(annotation: Any) -> list[Any]:
    """The types of a union, one by one; `Literal["a", None]` is a choice that may be null."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(annotation) for inner in _members(member)]
    if typing.get_origin(annotation) is typing.Literal and None in typing.get_args(annotation):
        rest = tuple(value for value in typing.get_args(annotation) if value is not None)
        return [typing.Literal[rest], type(None)]
    return [annotation]
