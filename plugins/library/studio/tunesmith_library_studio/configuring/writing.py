"""A configuration as text: a YAML file, and the command line that says the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.kinds import CONFIGURED
from tunesmith_library_configuration.overrides import written_overrides
from tunesmith_library_configuration.reading import to_yaml


def canonical(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the order of a run, without kinds of which nothing is said."""
    ordered = [*CONFIGURED, *(name for name in values if name not in CONFIGURED)]
    return {name: values[name] for name in ordered if name in values and says_something(name, values[name])}


def says_something(name: str, value: Any) -> bool:
    """Whether a value at the top level is another one than none; no things, where some are the default, is one."""
    kind = CONFIGURED.get(name)
    return value is not None and (value != {} or bool(kind and kind.many and kind.default))


def yaml_of(values: Mapping[str, Any]) -> str:
    """The YAML file of values; a kind with a name alone is written as the name."""
    shown = {name: _short(name, value) for name, value in canonical(values).items()}
    return to_yaml(shown) if shown else ""


def command_of(values: Mapping[str, Any], program: str = "tunesmith train") -> str:
    """The command line that says everything by overrides."""
    written = [word for name, value in canonical(values).items() for word in _overrides(name, value)]
    return " ".join([program, *map(shlex.quote, written)])


def _overrides(name: str, value: Any) -> Iterator[str]:
    kind = CONFIGURED.get(name)
    if kind is None or kind.many or not isinstance(value, Mapping):
        yield from written_overrides({name: _short(name, value)})
        return
    options = {f"{name}.{option}": item for option, item in value.items() if option != "name"}
    chosen = {name: value["name"]} if "name" in value else {}
    yield from written_overrides({**chosen, **options})


def _short(name: str, value: Any) -> Any:
    kind = CONFIGURED.get(name)
    if kind is None or not isinstance(value, Mapping):
        return value
    if kind.many:
        return list(value) if all(item in ({}, True, None) for item in value.values()) else dict(value)
    return value["name"] if set(value) == {"name"} else dict(value)
