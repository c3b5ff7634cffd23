"""Reading YAML with the line of every value, and the grammar of override keys and values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import ConfigError

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    source: str  # a file, "command line", …
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, with the numbers that people write: `1e-4` is a float."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, Origin]]:
    """Read a file that holds a mapping.

    Returns: the data, and where each value stands.
    Raises: ConfigError with file and line for malformed YAML, duplicate keys, or anything but a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        origins: dict[Key, Origin] = {}
        data = {} if node is None else _construct(loader, node, (), str(path), origins)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        written = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
        raise ConfigError(f"{path}:{line}: this is not YAML: {error.problem}.\n  {written}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected key: value pairs, found a {type(data).__name__}")
    return data, origins


def _construct(loader: _Loader, node: yaml.Node, key: Key, source: str, origins: dict[Key, Origin]) -> Any:
    if key:
        origins[key] = Origin(source, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*key, index), source, origins) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)  # type: ignore[no-untyped-call]
    loader.flatten_mapping(node)  # type: ignore[no-untyped-call]
    data: dict[str, Any] = {}
    for name_node, value_node in node.value:
        name = str(loader.construct_object(name_node, deep=True))  # type: ignore[no-untyped-call]
        line = name_node.start_mark.line + 1
        if name in data:
            raise ConfigError(f"{source}:{line}: {show_path((*key, name))} is written twice")
        data[name] = _construct(loader, value_node, (*key, name), source, origins)
        origins[(*key, name)] = Origin(source, line)
    return data


def parse_path(text: str) -> Key:
    """`data.train[0].path` as `("data", "train", 0, "path")`."""
    if not re.fullmatch(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*", text):
        raise ConfigError(f"{text!r} is not a key.\nwrite it like adapter.rank or data.train[0].path")
    return tuple(int(part) if part.isdigit() and bracket else part for bracket, part in _parts(text))


def _parts(text: str) -> list[tuple[bool, str]]:
    return [(match[0].startswith("["), match[1] or match[2]) for match in re.finditer(r"\[(\d+)\]|([^.\[\]]+)", text)]


def show_path(key: Key) -> str:
    """The opposite of `parse_path`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def parse_value(text: str, written: str) -> Any:
    """The value of an override, which is YAML: `16`, `1e-4`, `[a, b]`, `{x: 1}`, `null`."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{written!r}: the value is not YAML: {error}") from error
