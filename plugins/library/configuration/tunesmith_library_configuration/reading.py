"""Reading and writing YAML: with the line of every value, and the values of overrides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, with what people mean: `1e-4` is a number, `2026-01-31` is a text, and so is `no`
    (`save_strategy: no`); an option that is a bool takes it for one."""


_Loader.yaml_implicit_resolvers = {
    first: [item for item in found if item[0] not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_SCIENTIFIC = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _SCIENTIFIC, list("-+0123456789."))


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that the loader would take for a number."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _SCIENTIFIC, list("-+0123456789."))


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, Origin]]:
    """Read a file that holds a mapping.

    Returns: the data, and where each value stands.
    Raises: ConfigError with file and line for malformed YAML, duplicate keys, or anything but a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    origins: dict[Key, Origin] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _refuse_duplicates(node, Key(), str(path))
        data = {} if node is None else _construct(loader, node, Key(), str(path), origins)
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(error, path, text)) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: an alias (*name) stands inside its own anchor (&name)") from error
    if data is None:  # a file of comments and `---`
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a configuration is key: value pairs, this is a {type(data).__name__}.")
    return data, origins


def _not_yaml(error: yaml.YAMLError, path: Path, text: str) -> str:
    """What is wrong with a file, and the line that it stands on."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        return f"{path}:{text.count(chr(10), 0, position) + 1}: this is not YAML: {getattr(error, 'reason', error)}."
    lines = text.splitlines()
    written = lines[mark.line].strip() if mark.line < len(lines) else ""
    return f"{path}:{mark.line + 1}: this is not YAML: {getattr(error, 'problem', error)}.\n  {written}"


def _refuse_duplicates(node: yaml.Node, key: Key, source: str) -> None:
    """Look for keys that are written twice, before merge keys (`<<`) add those of other mappings."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _refuse_duplicates(item, key / index, source)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for name_node, value_node in node.value:
            name, line = str(name_node.value), name_node.start_mark.line + 1
            if name in seen:
                first = f"first in line {seen[name]}"
                raise ConfigError(f"{source}:{line}: {key / name} is written twice, {first}.")
            seen[name] = line
            _refuse_duplicates(value_node, key / name, source)


def _construct(loader: _Loader, node: yaml.Node, key: Key, source: str, origins: dict[Key, Origin]) -> Any:
    if key:
        origins[key] = Origin(source, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, key / index, source, origins) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    loader.flatten_mapping(node)
    data: dict[str, Any] = {}
    for name_node, value_node in node.value:
        name = str(loader.construct_object(name_node, deep=True))
        data[name] = _construct(loader, value_node, key / name, source, origins)
        origins[key / name] = Origin(source, name_node.start_mark.line + 1)
    return data


def parse_value(text: str, written: str) -> Any:
    """The value of an override, which is YAML: `16`, `1e-4`, `[a, b]`, `{x: 1}`, `null`."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or getattr(error, "reason", error)
        key, _, value = written.partition("=")
        advice = f"if it is a text, put it in quotes: '{key}=\"{value}\"'"
        raise ConfigError(f"{written!r}: the value is not YAML: {reason}.\n{advice}") from error


def to_yaml(value: Any, *, flow: bool = False, width: float = 100) -> str:
    """Plain data as YAML, which `read_yaml` and `parse_value` read as the same; `flow` is in one line if `width` is."""
    return str(
        yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=width)
    )
