"""Validation: the user's values against the fields of a plugin, every mistake with its place and what is possible."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tunesmith.errors import choices
from tunesmith.options import options, shorthand, type_name
from tunesmith.reading import Key, show_path
from tunesmith.types import Problem


def structured(cls: type, values: Mapping[str, Any], key: Key, label: str) -> tuple[DictConfig, list[Problem]]:
    """Put values over the defaults of a plugin, or of a dataclass nested in one.

    Args:
        cls: the dataclass whose fields say what is possible.
        values: the user's, as plain data.
        key: where they stand in the configuration.
        label: what they belong to, for the messages: `adapter=lora`.

    Returns: the merged configuration node, interpolations unresolved, and everything that is wrong.
    """
    node = OmegaConf.structured(cls)
    known = {option.name: option for option in options(cls)}
    problems: list[Problem] = []
    for name, value in values.items():
        place = (*key, name)
        if name not in known:
            message = f"{label} has no option {name}."
            problems.append(Problem(show_path(place), message, choices(str(name), known)))
            continue
        value, nested = _nested(known[name].type, value, place, label)
        problems += nested
        if nested:
            continue
        try:
            node[name] = value
        except OmegaConfBaseException:
            problems.append(_wrong_type(place, known[name].type, value))
    problems += [
        Problem(
            show_path((*key, name)),
            f"{label} needs {show_path((*key, name))}: {option.doc}.",
            f"type: {option.type_name}",
        )
        for name, option in known.items()
        if option.required and name not in values
    ]
    return node, problems


def _nested(annotation: Any, value: Any, key: Key, label: str) -> tuple[Any, list[Problem]]:
    """Validate the dataclasses inside a value, so that a mistake in them has its full path."""
    if isinstance(value, str) and "${" in value:
        return value, []
    inner = _dataclass_in(annotation)
    if inner is None:
        return value, []
    origin = typing.get_origin(annotation)
    if origin is list and isinstance(value, list):
        made = [_nested(inner, item, (*key, index), label) for index, item in enumerate(value)]
        return [item for item, _ in made], [problem for _, problems in made for problem in problems]
    if origin is dict and isinstance(value, Mapping):
        items = {name: _nested(inner, item, (*key, name), label) for name, item in value.items()}
        return {name: item for name, (item, _) in items.items()}, [p for _, found in items.values() for p in found]
    short = shorthand(inner)
    if isinstance(value, str) and short and origin not in (list, dict):
        value = {short: value}
    if origin in (list, dict) or not isinstance(value, Mapping):
        return (value, []) if value is None else (value, [_wrong_type(key, annotation, value)])
    return structured(inner, value, key, label)


def _dataclass_in(annotation: Any) -> Any:
    """The dataclass that a type is, or that its items are; None when there is none."""
    if dataclasses.is_dataclass(annotation):
        return annotation
    if typing.get_origin(annotation) in (list, dict, typing.Union, types.UnionType):
        return next(filter(None, map(_dataclass_in, typing.get_args(annotation))), None)
    return None


def _wrong_type(key: Key, annotation: Any, value: Any) -> Problem:
    arguments = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
    advice = choices(str(value), map(str, arguments)) if arguments else f"type: {type_name(annotation)}"
    return Problem(show_path(key), f"{show_path(key)} cannot be {value!r}.", advice)


def resolve(node: DictConfig, key: Key) -> tuple[dict[str, Any], list[Problem]]:
    """Resolve the interpolations of a validated node, `${trainer.learning_rate}`.

    Returns: plain data with all defaults, and the interpolations that lead nowhere or to another type.
    """
    data: dict[str, Any] = {}
    problems = []
    for name in node:
        try:
            value = None if OmegaConf.is_missing(node, name) else node[name]
            data[str(name)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            place = show_path((*key, str(name)))
            message = str(error).splitlines()[0]
            written = OmegaConf.to_container(node, resolve=False)
            shown = written.get(name) if isinstance(written, dict) else None
            problems.append(Problem(place, f"{place}={shown} cannot be resolved: {message}", "write ${key.of.a.value}"))
    return data, problems
