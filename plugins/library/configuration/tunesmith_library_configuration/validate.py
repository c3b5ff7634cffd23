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
from tunesmith_library_configuration.keys import Key, Origin, Origins, Part
from tunesmith_library_configuration.options import Option, fields_of, known_as, options, plain, shorthand, type_name
from tunesmith_library_configuration.overrides import line_of
from tunesmith_library_configuration.ownership import unsaid_problems
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.ranges import Range, numbers_in
from tunesmith_library_configuration.reading import quoted
from tunesmith_library_configuration.references import TO_WRITE_IT, References, literally, plainly, too_long
from tunesmith_library_configuration.texts import Text, faults
from tunesmith_library_configuration.trees import Added
from tunesmith_library_configuration.typed import as_typed, members_of

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_MISSING = "???"  # how OmegaConf writes a value that is still to be given
_NOWHERE: Origins = types.MappingProxyType({})
_POSSIBLE = Range(-(2**63), 2**63 - 1)  # what fits into 64 bits


def structured(
    cls: type, values: Mapping[str, Any], key: Sequence[Part], label: str, origins: Origins = _NOWHERE
) -> tuple[DictConfig, list[Problem]]:
    """Put values over the defaults of a dataclass.

    Args:
        cls: the dataclass whose fields say what is possible.
        values: the user's, as plain data.
        key: where they stand in the configuration.
        label: what they belong to, for the messages: `adapter=lora`.
        origins: of the values; an option that is a text is what was typed.

    Returns: the merged configuration node, interpolations unresolved, with the default for what is wrong; and
        everything that is wrong.
    """
    node, key = schema_of(cls), Key(*key)
    known = {option.name: option for option in options(cls)}
    problems: list[Problem] = []
    for name, value in values.items():
        place = key / str(name)
        if name not in known:
            message = f"{label} has no option {name}."
            meant, said = known_as(cls).get(str(name), (None, None))
            origin = origins.get(place) if said is None else None
            line = line_of(f"{key / meant}", value if said is None else said, origin) if meant else ""
            advice = f"it is called {meant} here: write {line}" if meant else choices(str(name), known)
            problems.append(Problem(place, message, advice))
        elif value != _MISSING:
            problems += _put(node, known[name], value, place, origins)
    defaults = {name: plain(option.default) for name, option in known.items() if not option.required}
    problems += unsaid_problems(cls, values, defaults, key, origins)
    for name, option in known.items():
        if values.get(name) == _MISSING or (option.required and name not in values):
            needed = key / name
            shown = name if label == str(key) else needed
            message = f"{label} needs {shown}{': ' if option.doc else ''}{option.doc.rstrip('.')}."
            problems.append(Problem(needed, message, f"type: {option.type_name}"))
    return node, problems


def _put(node: DictConfig, option: Option, value: Any, place: Key, origins: Origins) -> list[Problem]:
    """Put a value into a node; what is wrong with it, and then the node stays as it was."""
    origin, asked = origins.get(place), members_of(option.type)
    if isinstance(value, Added):
        if not any(typing.get_origin(member) is list for member in asked):
            advice = f"type: {option.type_name}\nwrite {place}=VALUE"
            return [Problem(place, f"{place} is no list, so nothing can be added to it.", advice)]
        former = [] if option.required or option.default is None else plain(option.default)
        value = [*(former if isinstance(former, list) else [former]), *value]
    several = str not in asked and isinstance(value, str) and "," in value and not (origin and origin.fault)
    if several and any(typing.get_origin(member) is list for member in asked):
        return [Problem(place, f"{place} is a list, {_shown(value)} is one text.", f"write {place}=[{value}]")]
    value = as_typed(option.type, value, place, origins)
    checked, problems = _nested(option.type, value, place, origins)
    numbers = _out_of_range(place, option.range, value) if _takes_numbers(option.type) else []
    problems = problems or numbers or _no_texts(place, option.text, value)
    if problems:
        return problems
    if type(value) in (bool, float) and str in asked and type(value) not in asked:  # given by a program
        return [_wrong_type(place, option.type, value, origin)]
    try:
        if type(checked) is int and float in asked and int not in asked:
            checked = float(checked)
        OmegaConf.update(node, option.name, checked, merge=False)
    except (OmegaConfBaseException, ValueError, OverflowError, RecursionError):
        return [_wrong_type(place, option.type, value, origin)]
    return []


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


def _takes_numbers(annotation: Any) -> bool:
    if annotation in (int, float, Any):
        return True
    return any(map(_takes_numbers, typing.get_args(annotation)))


def _out_of_range(key: Key, allowed: Range | None, value: Any) -> list[Problem]:
    """The numbers in a value that its option, or any computer, cannot take."""
    within = [_POSSIBLE] if allowed is None else [allowed, _POSSIBLE]
    found = [
        (Key(*key, *inside), number, next((limit for limit in within if number not in limit), None))
        for inside, number in numbers_in(value)
    ]
    return [
        Problem(at, f"{at} cannot be {_shown(number)}.", f"possible: {limit}")
        for at, number, limit in found
        if limit is not None
    ]


def _no_texts(key: Key, allowed: Text | None, value: Any) -> list[Problem]:
    return [Problem(at, f"{at} {fault}.") for at, fault in faults(value, key, allowed)]


def in_range(cls: type, values: Mapping[str, Any], key: Key) -> list[Problem]:
    """What interpolations brought in that is out of the range of its option."""
    problems: list[Problem] = []
    for option in options(cls):
        value = values.get(option.name)
        problems += _out_of_range(key / option.name, option.range, value)
        problems += _no_texts(key / option.name, option.text, value)
        inner = _dataclass_in(option.type)
        items = [value] if isinstance(value, Mapping) else value if isinstance(value, list) else []
        for index, item in enumerate(items if inner else []):
            place = key / option.name if item is value else key / option.name / index
            problems += in_range(inner, item, place) if isinstance(item, Mapping) else []
    return problems


def instance(cls: type, values: Mapping[str, Any]) -> Any:
    """Make an instance of values that `structured` found right; mappings become the dataclasses that its fields are of.

    Raises: what the class raises, and OmegaConf's errors.
    """
    given = values if OmegaConf.is_config(values) else literally(plainly(dict(values)))
    fields = OmegaConf.to_object(OmegaConf.merge(schema_of(cls), given))
    return cls(**vars(fields))


def _nested(annotation: Any, value: Any, key: Key, origins: Origins) -> tuple[Any, list[Problem]]:
    """Validate the dataclasses inside a value, so that a mistake in them has its full path."""
    inner = _dataclass_in(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if inner is None or value is None or value == _MISSING:
        return value, []
    if origin in (typing.Union, types.UnionType):
        return _nested(next(filter(_dataclass_in, arguments)), value, key, origins)
    if origin is list and isinstance(value, list):
        made = [_nested(arguments[0], item, key / index, origins) for index, item in enumerate(value)]
        return [item for item, _ in made], [problem for _, problems in made for problem in problems]
    if origin is dict and isinstance(value, Mapping):
        items = {name: _nested(arguments[1], item, key / name, origins) for name, item in value.items()}
        return {name: item for name, (item, _) in items.items()}, [p for _, found in items.values() for p in found]
    if origin is None and isinstance(value, str) and shorthand(inner):
        value = {shorthand(inner): value}
    if isinstance(value, str) and "${" in value:
        return value, []
    if origin is None and isinstance(value, Mapping):
        return structured(inner, value, key, str(key), origins)
    return value, [_wrong_type(key, annotation, value, origins.get(key))]


def _dataclass_in(annotation: Any) -> Any:
    """The dataclass that a type is, or that its items are; None when there is none."""
    if dataclasses.is_dataclass(annotation):
        return annotation
    if typing.get_origin(annotation) in (list, dict, typing.Union, types.UnionType):
        return next(filter(None, map(_dataclass_in, typing.get_args(annotation))), None)
    return None


def _wrong_type(key: Key, annotation: Any, value: Any, origin: Origin | None) -> Problem:
    literals = [name for member in members_of(annotation) for name in _literals(member)]
    if literals:
        switches = ("true", "false") if bool in members_of(annotation) else ()
        advice = choices(str(value), (*switches, *map(str, literals)))
    else:
        short = shorthand(_dataclass_in(annotation))
        advice = f"type: {type_name(annotation)}{f', or a string for its {short}' if short else ''}"
    if isinstance(value, str) and "${" in value and str in members_of(annotation):
        advice += f"\n{TO_WRITE_IT}"
    elif origin and origin.fault:
        advice += f"\nthis is not YAML: {origin.fault}"
    elif isinstance(value, Mapping) and value and all(str(name).isdecimal() for name in value):
        advice += f"\nthe number of an item stands in brackets: write {_item(key, value)}"
    elif isinstance(value, list | Mapping) and str in members_of(annotation):
        text = origin.text if origin and origin.text else "…"
        advice += f"\nif it is a text, put it in quotes: {key[-1]}: {quoted(text)}"
    return Problem(key, f"{key} cannot be {_shown(value)}.", advice)


def _item(key: Key, value: Mapping[str, Any]) -> str:
    """`data.train.0.path=x` as it is meant: `data.train[0].path=x`."""
    number, inner = next(iter(value.items()))
    place = key / int(number)
    while isinstance(inner, Mapping) and len(inner) == 1:
        name, inner = next(iter(inner.items()))
        place /= name
    return line_of(str(place), inner, None)


def _literals(member: Any) -> tuple[Any, ...]:
    return typing.get_args(member) if typing.get_origin(member) is typing.Literal else ()


def _shown(value: Any) -> str:
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no numbers of so many digits
        return "a number of thousands of digits"


def resolve(node: DictConfig, key: Key, names: Iterable[str] | None = None) -> tuple[dict[str, Any], list[Problem]]:
    """Resolve the interpolations of a validated node, `${trainer.learning_rate}`; of all its names, or of some.

    Returns: plain data with all defaults, and the interpolations that lead nowhere or to another type.
    """
    data: dict[str, Any] = {}
    problems = []
    as_written: Any = OmegaConf.to_container(node, resolve=False)
    written = References(as_written, lambda: OmegaConf.to_container(node._get_root(), resolve=False))
    for name in node if names is None else names:
        if long := too_long(written.whole, (*key, str(name))):
            problems.append(Problem(key / str(name), f"{key / str(name)} {long}", "write what is meant"))
            continue
        try:
            value = None if OmegaConf.is_missing(node, name) else node[name]
            value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            data[str(name)] = written.kept(str(name), value)
        except OmegaConfBaseException as error:
            place = str(getattr(error, "full_key", "") or key / str(name))
            message = f"{place} cannot be resolved: {str(error).splitlines()[0]}."
            advice = f"write ${{adapter.rank}} for the value of another key; {TO_WRITE_IT}"
            problems.append(Problem(place, message, advice))
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
