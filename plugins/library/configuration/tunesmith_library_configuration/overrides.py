"""Overrides: `key=value` and `key+=value` of a command line, or a mapping of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin, Origins, everywhere
from tunesmith_library_configuration.reading import read_value, to_yaml

Overrides = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True)
class Override:
    """A value that is put over all files."""

    key: Key
    value: Any
    where: Origins  # of the value and of all in it
    adds: bool = False  # to a list, or to the names of a key that holds many: `data.train+=[more.json]`

    @property
    def origin(self) -> Origin:
        return self.where[self.key]


def read_overrides(overrides: Overrides) -> list[Override]:
    """Overrides as they are given: `{"adapter.rank": 16}` or `["adapter.rank=16"]`.

    Raises: ConfigError for one that cannot be read.
    """
    if isinstance(overrides, Mapping):
        return [_given(name, value) for name, value in overrides.items()]
    return [_typed(text) for text in overrides or ()]


def written_overrides(overrides: Overrides) -> list[str]:
    """Overrides as a command line takes them, values as YAML in one line: what `read_overrides` reads as the same."""
    if isinstance(overrides, Mapping):
        return [f"{key}={_flow(value)}" for key, value in overrides.items()]
    return list(overrides or ())


def line_of(where: str, value: Any, origin: Origin | None) -> str:
    """A key with its value as its writer would write it: in an override, or in a file."""
    if origin is not None and origin.line is not None:
        *outer, last = where.split(".")
        text = f"{last}: {origin.text or written_overrides({last: value})[0].partition('=')[2]}"
        for part in reversed(outer):
            text = f"{part}: {{{text}}}"
        return text
    typed = origin.text if origin is not None else None
    text = f"{where}={typed}" if typed is not None else written_overrides({where: value})[0]
    return text if re.fullmatch(r"[\w.=/:,+@%-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _given(name: str, value: Any) -> Override:
    key, adds = _key(name)
    own = copy.deepcopy(value)
    return Override(key, own, everywhere(key, own, Origin("overrides")), adds)


def _typed(text: str) -> Override:
    name, separator, written = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"{text!r} is not an override.\nwrite key=value, like adapter.rank=16")
    key, adds = _key(name)
    value, inside = read_value(written, "command line")
    return Override(key, value, {Key(*key, *at): origin for at, origin in inside.items()}, adds)


def _key(name: str) -> tuple[Key, bool]:
    return Key.parse(name.removesuffix("+")), name.endswith("+")


def _flow(value: Any) -> str:
    return to_yaml(value, flow=True, width=float("inf")).strip().removesuffix("...").strip()
