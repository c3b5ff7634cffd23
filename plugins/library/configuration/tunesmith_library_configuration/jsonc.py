"""JSON with comments and trailing commas, as editors keep their settings: read, and changed without losing a letter."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tunesmith_library_configuration.errors import ConfigError

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_PLAIN = re.compile(r'"(?:[^"\\\n]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
_INDENTED = re.compile(r"\n([ \t]+)\S")
_DEEPEST = 100  # lists and mappings inside each other


@dataclass
class _Node:
    """A value and where it stands in the text."""

    start: int
    end: int = 0
    value: Any = None
    inner: dict[str | int, _Node] = field(default_factory=dict)
    last: int = 0  # behind the last item, before its comma
    comma: bool = False  # whether a comma stands behind the last item


def loads(text: str) -> Any:
    """What a text says; nothing at all says an empty mapping. Raises: ConfigError with the line of what cannot be."""
    return _parsed(text).value


def with_value(text: str, path: tuple[str, ...], value: Any) -> str:
    """A text in which the value at a path of keys is another; all else, comments too, stays as it is.

    A key that is not there is added behind the others of its mapping, and so are the mappings on the way to it. Of a
    list that grows only the new items are written.

    Raises: ConfigError for a text that cannot be read, and where something else than a mapping is on the way.
    """
    node, above, pad = _parsed(text), tuple[str, ...](), _indent(text)
    if not text[node.start : node.end]:
        text, node = "{}\n", _parsed("{}\n")
    for at, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise ConfigError(f"{'.'.join(above) or 'the file'} is {json.dumps(node.value)[:60]}, no mapping")
        if name not in node.inner:
            for missing in reversed(path[at + 1 :]):
                value = {missing: value}
            item = f"{json.dumps(name, ensure_ascii=False)}: {_written(value, pad, len(above) + 1)}"
            return _added(text, node, pad, len(above), [item])
        node, above = node.inner[name], (*above, name)
    old = node.value
    if old == value:
        return text
    if isinstance(old, list) and isinstance(value, list) and value[: len(old)] == old:
        items = [_written(item, pad, len(above) + 1) for item in value[len(old) :]]
        return _added(text, node, pad, len(above), items)
    return text[: node.start] + _written(value, pad, len(above)) + text[node.end :]


def _indent(text: str) -> str:
    """What the lines of a text are indented by; four spaces where there is no such line."""
    found = _INDENTED.search(text)
    return found[1] if found else "    "


def _written(value: Any, pad: str, depth: int) -> str:
    """A value as it is written so deep in a file."""
    return json.dumps(value, indent=pad, ensure_ascii=False).replace("\n", "\n" + pad * depth)


def _added(text: str, node: _Node, pad: str, depth: int, items: list[str]) -> str:
    """A text with items at the end of a mapping or list, each in a line of its own."""
    line, end = "\n" + pad * (depth + 1), "\n" + pad * depth
    if not node.inner:
        inside = text[node.start + 1 : node.end - 1].rstrip()  # it can hold comments
        made = inside + line + ("," + line).join(items) + end
        return text[: node.start + 1] + made + text[node.end - 1 :]
    behind = text[node.last : node.end - 1].rstrip()  # its comma, and comments
    made = ("" if node.comma else ",") + behind + line + ("," + line).join(items) + end
    return text[: node.last] + made + text[node.end - 1 :]


def _parsed(text: str) -> _Node:
    reader = _Reader(text)
    start = reader.blank(1 if text.startswith("\ufeff") else 0)
    if start == len(text):
        return _Node(start, start, {})
    node = reader.read(start)
    if reader.blank(node.end) != len(text):
        raise reader.fault(reader.blank(node.end), "the end of the file")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text

    def fault(self, at: int, expected: str) -> ConfigError:
        line = self.text.count("\n", 0, at) + 1
        found = self.text[at : at + 20].split("\n")[0] or "the end of the file"
        return ConfigError(f"line {line}: {expected} was expected, found {found}")

    def blank(self, at: int) -> int:
        """The place behind blanks and comments."""
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def read(self, at: int, depth: int = 0) -> _Node:
        """The value that begins at a place."""
        if depth > _DEEPEST:
            raise self.fault(at, f"nothing nested more than {_DEEPEST} levels deep")
        if self.text[at : at + 1] in ("{", "["):
            return self._container(at, depth)
        match = _PLAIN.match(self.text, at)
        try:
            return _Node(at, match.end(), json.loads(match[0])) if match else self._no_value(at)
        except ValueError:
            return self._no_value(at)

    def _no_value(self, at: int) -> _Node:
        raise self.fault(at, "a value")

    def _container(self, start: int, depth: int) -> _Node:
        mapping = self.text[start] == "{"
        close = "}" if mapping else "]"
        node = _Node(start, value={} if mapping else [])
        at = self.blank(start + 1)
        while self.text[at : at + 1] != close:
            key: str | int = len(node.inner)
            if mapping:
                key, at = self._key(at)
            item = node.inner[key] = self.read(at, depth + 1)
            if mapping:
                node.value[key] = item.value
            else:
                node.value.append(item.value)
            node.last = item.end
            at = self.blank(item.end)
            node.comma = self.text[at : at + 1] == ","
            if not node.comma and self.text[at : at + 1] != close:
                raise self.fault(at, f"a comma or {close}")
            at = self.blank(at + node.comma)
        node.end = at + 1
        return node

    def _key(self, at: int) -> tuple[str, int]:
        """A key, and the place of its value."""
        match = _PLAIN.match(self.text, at)
        if match is None or not match[0].startswith('"'):
            raise self.fault(at, "a key in double quotes")
        colon = self.blank(match.end())
        if self.text[colon : colon + 1] != ":":
            raise self.fault(colon, "a colon")
        return str(self.read(at).value), self.blank(colon + 1)
