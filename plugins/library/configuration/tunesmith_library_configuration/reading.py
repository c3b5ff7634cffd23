"""Reading and writing YAML: with the line of every value and what was typed there, and the values of overrides.

What is read is plain data of a size that a person writes: aliases that multiply and nesting without end are refused.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.trees import Added

_MOST_BYTES = 10_000_000  # of a file
_MOST_VALUES = 100_000  # in a file, those that aliases repeat included
_DEEPEST = 100  # lists and mappings inside each other
_MOST_DIGITS = 1_000  # of a number; what is longer is a text

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"^[-+]?(0x[0-9a-fA-F][0-9a-fA-F_]*|0o[0-7][0-7_]*|0b[01][01_]*|[0-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
_NUMBERS = list("-+.0123456789")


class _Loader(yaml.SafeLoader):
    """YAML with the values that people mean, those of YAML 1.2 and Python: `1e-4`, `1_000`, `0x10` and `0o17` are
    numbers, and so is `0123`, in the decimal system; `1:30`, `2026-01-31` and `no` are texts. An option that is a bool
    takes `no` for one."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, unless it stands too deep for anything to be done with it."""
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {_DEEPEST} levels deep", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def whole(self, node: yaml.ScalarNode) -> int | str:
        """A whole number; one of more digits than anybody means is a text."""
        text = node.value.replace("_", "")
        return int(text, 0 if re.match("[-+]?0[xob]", text) else 10) if len(text) <= _MOST_DIGITS else node.value

    def fraction(self, node: yaml.ScalarNode) -> float:
        """A number with a point or an exponent."""
        return float(re.sub(r"_|\.(?=[infaINFA])", "", node.value))


_Loader.yaml_implicit_resolvers = {
    first: [item for item in found if item[0].removeprefix(_TAG) not in ("timestamp", "bool", "int", "float")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", _INTEGER, _NUMBERS)
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, _NUMBERS)
_Loader.add_constructor(f"{_TAG}int", _Loader.whole)
_Loader.add_constructor(f"{_TAG}float", _Loader.fraction)

_NO_BLANK = re.compile(r"([\w.-]+):([^\s:/\\].*)")  # no address, and no drive of Windows
_NULLS = ("", "~", "null", "Null", "NULL")
_ADDED = "!added"  # a list whose items stand behind those of the option's default
_KNOWN = ("str", "int", "float", "bool", "null", "merge", "value", "seq", "map")
_PLAIN = (*(f"{_TAG}{name}" for name in _KNOWN), _ADDED)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that the loader would take for a number."""


_Dumper.add_implicit_resolver(f"{_TAG}int", _INTEGER, _NUMBERS)
_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, _NUMBERS)
_Dumper.add_representer(Added, lambda dumper, items: dumper.represent_sequence(_ADDED, items))


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, Origin]]:
    """Read a file that holds a mapping.

    Returns: the data, and where each value stands.
    Raises: ConfigError with file and line for malformed YAML, duplicate keys, aliases that multiply, and anything but a
        mapping.
    """
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= _MOST_BYTES else ""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(_not_utf8(error, path)) from error
    if size > _MOST_BYTES:
        limit = f"a configuration has at most {_MOST_BYTES // 1_000_000}"
        raise ConfigError(f"{path} is {size / 1e6:,.0f} MB large; {limit}.\nis it data? write data.train=[{path}]")
    reader = _Reader(text, str(path))
    try:
        data = reader.read()
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(error, path, text)) from error
    if data is None:  # a file of comments and `---`
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a configuration is key: value pairs, this is a {type(data).__name__}.")
    reader.origins.pop(Key(), None)
    return data, reader.origins


def read_value(text: str, source: str) -> tuple[Any, dict[Key, Origin]]:
    """Read the value of an override, which is YAML: `16`, `1e-4`, `[a, b]`, `{x: 1}`, `null`.

    A command line has no comments: with one, and where it is not YAML, a value is the text that was typed.

    Returns: the value, and for it and all in it what was typed.
    """
    fault, reader = "", _Reader(text, source, lines=False)
    try:
        value = reader.read()
    except (yaml.YAMLError, ConfigError) as error:
        fault = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    if fault or text[reader.end :].strip() or (value is None and text.strip() not in _NULLS):
        return text, {Key(): Origin(source, text=text, fault=fault)}
    quoted = isinstance(value, str) and reader.quoted
    return value, {**reader.origins, Key(): Origin(source, text=None if quoted else text)}


def _not_utf8(error: UnicodeDecodeError, path: Path) -> str:
    """Which bytes are no text, and how they become it."""
    content: bytes = error.object
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{path} is UTF-16.\nconvert it: iconv -f UTF-16 -t UTF-8 {path.name}"
    line = content.count(b"\n", 0, error.start) + 1
    byte = f"byte 0x{content[error.start]:02x}"
    return f"{path}:{line}: this is not UTF-8 ({byte}).\nconvert the file with iconv, or mend the line"


def _not_yaml(error: yaml.YAMLError, path: Path, text: str) -> str:
    """What is wrong with a file, and the line that it stands on."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        return f"{path}:{text.count(chr(10), 0, position) + 1}: this is not YAML: {getattr(error, 'reason', error)}."
    lines = text.splitlines()
    written = lines[mark.line].strip() if mark.line < len(lines) else ""
    found = re.fullmatch(r"((?:- )?[\w.-]+): +([^\"'|>#].*?)( +#.*)?", written)
    odd = found is not None and (": " in found[2] or found[2][0] in "@`%*&!{[,")
    advice = f"\n  if it is a text, put it in quotes: {found[1]}: {quoted(found[2])}" if found and odd else ""
    return f"{path}:{mark.line + 1}: this is not YAML: {getattr(error, 'problem', error)}.\n  {written[:200]}{advice}"


def quoted(text: str) -> str:
    """A text in the quotes that make YAML take it as it is."""
    return f'"{text}"' if not re.search(r'["\\]', text) else "'" + text.replace("'", "''") + "'"


class _Reader:
    """Makes plain data of one document."""

    def __init__(self, text: str, source: str, lines: bool = True) -> None:
        self.origins: dict[Key, Origin] = {}
        self.end = 0  # where in the text the document ends
        self.quoted = False  # whether it is one text in quotes
        self._text, self._source, self._lines = text, source, lines
        self._sizes: dict[int, int] = {}  # values in a node, those that aliases repeat included

    def read(self) -> Any:
        """The document's data; None of an empty one.

        Raises: yaml.YAMLError, and ConfigError for what YAML allows and a configuration does not.
        """
        try:
            self._loader = _Loader(self._text)
            node = self._loader.get_single_node()
        except (ValueError, OverflowError):  # "\\UFFFFFFFF"
            raise ConfigError(f"{self._source}: an escape (\\U…) is no character") from None
        if node is None:
            return None
        self.end, self.quoted = node.end_mark.index, getattr(node, "style", None) in ("'", '"')
        self._check(node, Key())
        return self._construct(node, Key())

    def _place(self, node: yaml.Node) -> str:
        return f"{self._source}:{node.start_mark.line + 1}" if self._lines else self._source

    def _check(self, node: yaml.Node, key: Key) -> int:
        """Look at each node once, before merge keys (`<<`) add those of other mappings; gives the values in it."""
        known = self._sizes.get(id(node))
        if known == 0:
            raise ConfigError(f"{self._place(node)}: an alias (*name) stands inside its own anchor (&name)")
        if known:
            return known
        self._sizes[id(node)] = 0  # while it is being looked at
        size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(self._check(item, key / index) for index, item in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            self._refuse_duplicates(node, key)
            self._refuse_missing_blanks(node)
            size += sum(self._check(value, key / name.value) for name, value in node.value)
        if node.tag not in _PLAIN:
            raise ConfigError(f"{self._place(node)}: {key} is a {node.tag.removeprefix(_TAG)}, not plain data.")
        if size > _MOST_VALUES:
            advice = "aliases (*name) repeat others that repeat others; write what is meant"
            raise ConfigError(f"{self._place(node)}: this stands for more than {_MOST_VALUES:,} values.\n{advice}")
        self._sizes[id(node)] = size
        return size

    def _refuse_duplicates(self, node: yaml.MappingNode, key: Key) -> None:
        seen: dict[str, int] = {}
        for name_node, _ in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise ConfigError(f"{self._place(name_node)}: a key is a text, this is a list or mapping.")
            name = name_node.value
            if name in seen:
                first = f"first in line {seen[name]}"
                raise ConfigError(f"{self._place(name_node)}: {key / name} is written twice, {first}.")
            seen[name] = line

    def _refuse_missing_blanks(self, node: yaml.MappingNode) -> None:
        """`{num_cycles:1}` is YAML: one key, `num_cycles:1`, without a value."""
        for name_node, value_node in node.value:
            found = _NO_BLANK.fullmatch(name_node.value)
            if found and name_node.style is None and value_node.start_mark.index == value_node.end_mark.index:
                problem = f"{name_node.value} is one key without a value, for there is no blank behind its colon"
                raise ConfigError(f"{self._place(name_node)}: {problem}.\nwrite {found[1]}: {found[2]}")

    def _construct(self, node: yaml.Node, key: Key) -> Any:
        self.origins[key] = self._origin(node)
        if isinstance(node, yaml.SequenceNode):
            items = [self._construct(item, key / index) for index, item in enumerate(node.value)]
            return Added(items) if node.tag == _ADDED else items
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        try:
            value = self._loader.construct_object(node, deep=True)
        except (ValueError, KeyError, AttributeError, OverflowError):  # `!!int abc`
            kind = node.tag.removeprefix(_TAG)
            raise ConfigError(f"{self._place(node)}: {key} is no {kind}: {node.value!r}.") from None
        if not (isinstance(value, str) or getattr(node, "style", None)):
            self.origins[key] = self._origin(node, node.value)
        return value

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value  # as it is written: `0123` and `null` are texts here
            data[name] = self._construct(value_node, key / name)
            self.origins[key / name] = self._origin(name_node, self.origins[key / name].text)
        return data

    def _origin(self, node: yaml.Node, text: str | None = None) -> Origin:
        if text is None and getattr(node, "flow_style", False):
            text = self._text[node.start_mark.index : node.end_mark.index]
        return Origin(self._source, node.start_mark.line + 1 if self._lines else None, text)


def to_yaml(value: Any, *, flow: bool = False, width: float = 100) -> str:
    """Plain data as YAML, which `read_yaml` and `read_value` read as the same; `flow` is in one line if `width` is."""
    return str(
        yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=width)
    )
