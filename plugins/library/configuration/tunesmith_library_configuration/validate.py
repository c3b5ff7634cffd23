"""Validation: the user's values against the fields of a class, every mistake with its place and what is possible."""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tunesmith_library_configuration.errors import OptionsError, choices
from tunesmith_library_configuration.keys import Key, Part
from tunesmith_library_configuration.options import fields_of, options, shorthand, type_name
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.ranges import Range, numbers_in

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_MISSING = "???"  # how OmegaConf writes a value that is still to be given


def structured(
    cls: type, values: Mapping[str, Any], key: Sequence[Part], label: str
) -> tuple[DictConfig, list[Problem]]:
    """Put values over the defaults of a dataclass.

    Args:
        cls: the dataclass whose fields say what is possible.
        values: the user's, as plain data.
        key: where they stand in the configuration.
        label: what they belong to, for the messages: `adapter=lora`.

    Returns: the merged configuration node, interpolations unresolved, and everything that is wrong.
    """
    node, key = schema_of(cls), Key(*key)
    known = {option.name: option for option in options(cls)}
    problems: list[Problem] = []
    for name, value in values.items():
        place = key / str(name)
        if name not in known:
            message = f"{label} has no option {name}."
            problems.append(Problem(place, message, choices(str(name), known)))
            continue
        checked, nested = _nested(known[name].type, value, place, label)
        problems += nested
        if nested or value == _MISSING:
            continue
        problems += _out_of_range(place, known[name].range, value)
        if type(checked) is int and known[name].type in (float, float | None):
            checked = float(checked)
        try:
            OmegaConf.update(node, name, checked, merge=False)
        except OmegaConfBaseException:
            problems.append(_wrong_type(place, known[name].type, value))
    for name, option in known.items():
        if option.required and values.get(name, _MISSING) == _MISSING:
            needed = key / name
            shown = name if label == str(key) else needed
            message = f"{label} needs {shown}{': ' if option.doc else ''}{option.doc.rstrip('.')}."
            problems.append(Problem(needed, message, f"type: {option.type_name}"))
    return node, problems


def schema_of(cls: type) -> DictConfig:
    """The options of a class with their defaults, as OmegaConf holds them.

    Raises: OptionsError when a field is of a type that a configuration cannot hold, or its default is of another type.
    """
    try:
        node: DictConfig = OmegaConf.structured(fields_of(cls))
    except (OmegaConfBaseException, NameError, TypeError) as error:
        what = str(error).splitlines()[0]
        field = getattr(error, "full_key", None)
        place = f"{cls.__name__}.{field}" if field else cls.__name__
        raise OptionsError(f"{place} is not an option that a configuration can hold: {what}") from error
    return node


def _out_of_range(key: Key, allowed: Range | None, value: Any) -> list[Problem]:
    if allowed is None:
        return []
    found = [(Key(*key, *inside), number) for inside, number in numbers_in(value) if number not in allowed]
    return [Problem(at, f"{at} cannot be {number}.", f"possible: {allowed}") for at, number in found]


def instance(cls: type, values: Mapping[str, Any]) -> Any:
    """Make an instance of values that `structured` found right; mappings become the dataclasses that its fields are of.

    Raises: what the class raises, and OmegaConf's errors.
    """
    fields = OmegaConf.to_object(OmegaConf.merge(schema_of(cls), values))
    return cls(**vars(fields))


def _nested(annotation: Any, value: Any, key: Key, label: str) -> tuple[Any, list[Problem]]:
    """Validate the dataclasses inside a value, so that a mistake in them has its full path."""
    inner = _dataclass_in(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if inner is None or value is None or value == _MISSING:
        return value, []
    if origin in (typing.Union, types.UnionType):
        return _nested(next(filter(_dataclass_in, arguments)), value, key, label)
    if origin is list and isinstance(value, list):
        made = [_nested(arguments[0], item, key / index, label) for index, item in enumerate(value)]
        return [item for item, _ in made], [problem for _, problems in made for problem in problems]
    if origin is dict and isinstance(value, Mapping):
        items = {name: _nested(arguments[1], item, key / name, label) for name, item in value.items()}
        return {name: item for name, (item, _) in items.items()}, [p for _, found in items.values() for p in found]
    if origin is None and isinstance(value, str) and shorthand(inner):
        value = {shorthand(inner): value}
    if isinstance(value, str) and "${" in value:
        return value, []
    if origin is None and isinstance(value, Mapping):
        return structured(inner, value, key, str(key))
    return value, [_wrong_type(key, annotation, value)]


def _dataclass_in(annotation: Any) -> Any:
    """The dataclass that a type is, or that its items are; None when there is none."""
    if dataclasses.is_dataclass(annotation):
        return annotation
    if typing.get_origin(annotation) in (list, dict, typing.Union, types.UnionType):
        return next(filter(None, map(_dataclass_in, typing.get_args(annotation))), None)
    return None


def _wrong_type(key: Key, annotation: Any, value: Any) -> Problem:
    literal = typing.get_origin(annotation) is typing.Literal
    if literal:
        advice = choices(str(value), map(str, typing.get_args(annotation)))
    else:
        short = shorthand(_dataclass_in(annotation))
        advice = f"type: {type_name(annotation)}{f', or a string for its {short}' if short else ''}"
    return Problem(key, f"{key} cannot be {_SHORT.repr(value)}.", advice)


def resolve(node: DictConfig, key: Key, names: Iterable[str] | None = None) -> tuple[dict[str, Any], list[Problem]]:
    """Resolve the interpolations of a validated node, `${trainer.learning_rate}`; of all its names, or of some.

    Returns: plain data with all defaults, and the interpolations that lead nowhere or to another type.
    """
    data: dict[str, Any] = {}
    problems = []
    for name in node if names is None else names:
        try:
            value = None if OmegaConf.is_missing(node, name) else node[name]
            data[str(name)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            place = str(getattr(error, "full_key", "") or key / str(name))
            message = f"{place} cannot be resolved: {str(error).splitlines()[0]}."
            problems.append(Problem(place, message, "write ${adapter.rank} for the value of another key"))
    return data, problems


def together(nodes: Mapping[Key, DictConfig]) -> DictConfig:
    """Validated nodes in one tree, so that interpolations find what they name.

    Args:
        nodes: by the key that they stand under, of one part or two; the root's under the empty key.
    """
    root = nodes[Key()].copy()
    with open_dict(root):
        for key, node in nodes.items():
            if len(key) == 1:
                root[key[0]] = node
            elif key:
                root[key[0]] = {**root.get(key[0], {}), key[1]: node}
    return root


def unknown_key(name: str, known: Iterable[str], named: Iterable[str]) -> Problem:
    """A key of the top level that is none.

    Args:
        known: the keys that hold plain values.
        named: the keys that hold options of things.
    """
    head, dot, rest = name.partition(".")
    if dot and head in named:
        advice = f"write {head}: {{{rest}: …}}; dots are for overrides"
        return Problem(Key(name), f"{name} is not a key of a file.", advice)
    return Problem(Key(name), f"{name} is not a key of a configuration.", choices(name, [*known, *named]))
