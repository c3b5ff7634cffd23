"""In what shapes models write calls of tools: one reader for each, which the formats of `calls` fill with their marks.

A reader takes what stands behind the mark that begins a block, and gives the calls that it begins with and where they
end: what stands behind that is text, or a call that the end of the answer cut off.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith_library_chat.declarations import NOTHING_DECLARED, Declared, Types


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""  # "" where the format has none

    @property
    def json(self) -> str:
        """The arguments as JSON; half a surrogate pair, which is no character, stays escaped."""
        text = json.dumps(self.arguments, ensure_ascii=False)
        return json.dumps(self.arguments) if _HALVES.search(text) else text


Reader = Callable[[str, Types], tuple[list[Call], int]]
"""(what stands in a block, what tools declare) -> the whole and right calls at its beginning, and where they end."""

_HALVES = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,;]*")


def objects(*, name: str = "name", arguments: str = "arguments", id: str = "id") -> Reader:
    """JSON objects, or lists of them: `{"name": …, "arguments": {…}}`, under these or other usual keys."""
    keys_of_name, keys_of_arguments = (name, "name", "tool_name"), (arguments, "arguments", "parameters")

    def call(value: Any, types: Types) -> Call | None:
        if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
            value = {id: value.get(id), **value["function"]}
        if not isinstance(value, Mapping):
            return None
        called = next((value[key] for key in keys_of_name if isinstance(value.get(key), str)), None)
        if called is None or not any(key in value for key in keys_of_arguments):
            alone = called in types and not value.keys() - {*keys_of_name, id, "type"}
            return Call(str(called), {}, str(value.get(id) or "")) if alone else None
        given = _mapping(next((value[key] for key in keys_of_arguments if value.get(key) is not None), {}))
        return None if given is None else Call(called, given, str(value.get(id) or ""))

    def read(body: str, types: Types) -> tuple[list[Call], int]:
        calls, end, at, listed = [], 0, 0, False
        while (at := _behind(_BETWEEN, body, at)) < len(body):
            if body[at] == ("]" if listed else "["):
                at, listed = at + 1, not listed
                end = end if listed else at
                continue
            try:
                value, at = _DECODER.raw_decode(body, at)
            except (ValueError, RecursionError):
                break
            made = call(value, types)
            if made is None:
                break
            calls.append(made)
            end = at
        else:
            end = len(body)
        return calls, end

    return read


def headed(head: str, tail: str = "") -> Reader:
    """Calls of which each is a head, a JSON object with the arguments, and a tail.

    One whose object is whole is whole, also where an answer ends within its tail.

    Args:
        head: a pattern with the group `name`, and perhaps `id`.
        tail: a pattern.
    """
    begin, end = re.compile(rf"\s*{head}"), re.compile(rf"\s*{tail}")

    def read(body: str, types: Types) -> tuple[list[Call], int]:
        calls, at = [], 0
        while found := begin.match(body, at):
            try:
                given, behind = _DECODER.raw_decode(body, found.end())
            except (ValueError, RecursionError):
                break
            closed = end.match(body, behind)
            if not isinstance(given, Mapping):
                break
            calls.append(Call(found["name"].strip(), given, found.groupdict().get("id") or ""))
            at = closed.end() if closed else behind
        return calls, at

    return read


def elements(call: str, parameter: str, *, strip: str = "\n") -> Reader:
    """Calls as marked-up text: a name, and each argument by its key with a bare value.

    Args:
        call: a pattern with the groups `name` and `body`.
        parameter: a pattern with the groups `key` and `value`, and perhaps `string`: whether the value is one.
        strip: what one of is taken off the start and the end of a value.
    """
    # A closing mark within a value is none: behind one stands the next parameter, or the end of the call.
    unnamed = re.sub(r"\(\?P<\w+>", "(?:", parameter)
    opened = re.sub(r"\(\?P<\w+>", "(?:", parameter.partition("(?P<value>")[0])
    parameters = re.compile(rf"{parameter}(?=\s*(?:{opened}|\Z))", re.DOTALL)
    head, lazy, tail = call.partition(r"(?P<body>.*?)")
    if lazy:
        call = rf"{head}(?P<body>(?>(?:\s*{unnamed}(?=\s*(?:{opened}|{tail})))*)\s*){tail}"
    calls = re.compile(rf"\s*(?:{call})", re.DOTALL)

    def value(found: re.Match[str], declared: Declared) -> Any:
        text = found["value"]
        for character in strip:
            text = text.removeprefix(character).removesuffix(character)
        return text if found.groupdict().get("string") == "true" else declared.value(text)

    def read(body: str, types: Types) -> tuple[list[Call], int]:
        made: list[Call] = []
        at = 0
        while (match := calls.match(body, at)) and not parameters.sub("", match["body"]).strip():
            name, given = match["name"].strip(), {}
            for item in parameters.finditer(match["body"]):
                key = item["key"].strip()
                given[key] = value(item, types.get(name, NOTHING_DECLARED).inside(key))
            made.append(Call(name, given))
            at = match.end()
        return made, at

    return read


def python_calls(body: str, types: Types) -> tuple[list[Call], int]:
    """Python: `[add(a=1, b="x"), today()]`, or one call to a line."""
    calls, at = [], _behind(_BETWEEN, body, 0)
    listed, end = body.startswith("[", at), 0
    at += listed
    while found := _PYTHON_HEAD.match(body, at):
        call, at = _first_python_call(body, found.end(), found.start("name"))
        if call is None:
            break
        calls.append(call)
        end = at
    closed = re.compile(r"[\s,]*\]").match(body, end) if listed and calls else None
    return calls, closed.end() if closed else end


_PYTHON_HEAD = re.compile(r"[\s,;]*(?P<name>[^\W\d][\w.\-]*)\s*\(")


def _first_python_call(body: str, at: int, start: int) -> tuple[Call | None, int]:
    """The call that starts at a place, and where it ends: behind the first bracket that makes it whole."""
    while (at := body.find(")", at) + 1) > 0:
        try:
            return _python_call(body[start:at]), at
        except SyntaxError:
            continue
        except (ValueError, TypeError, RecursionError, MemoryError):
            break
    return None, start


_PYTHON_KEYWORD = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?<=[(,])(?P<space>\s*)(?P<name>[^\s'"(),=][^'"(),=]*?)(?=\s*=[^=])""",
    re.DOTALL,
)


def _python_call(text: str) -> Call | None:
    """One call with keywords, which may be words of Python's own, such as `from`, or no names of Python's at all."""
    names: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        if not found["name"] or (found["name"].isidentifier() and not keyword.iskeyword(found["name"])):
            return found[0]
        names[new := f"_keyword_{len(names)}"] = found["name"]
        return found["space"] + new

    name, _, given = text.partition("(")
    node: Any = ast.parse(_PYTHON_KEYWORD.sub(renamed, f"f({given}"), mode="eval").body
    if not isinstance(node, ast.Call) or node.args or any(item.arg is None for item in node.keywords):
        return None
    values = {str(item.arg): _python_value(item.value) for item in node.keywords}
    return Call(name.strip(), {names.get(key, key): value for key, value in values.items()})


def _python_value(node: ast.expr) -> Any:
    """A literal, in which the words of JSON stand for those of Python."""
    words = {"true": True, "false": False, "null": None}
    if isinstance(node, ast.Name) and node.id in words:
        return words[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_python_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): _python_value(item) for key, item in pairs if key is not None}
    return ast.literal_eval(node)


def braced(quote: str) -> Reader:
    """`call:name{key:value,…}`, with text between quotes that are one token: Gemma's."""
    head = re.compile(r"\s*call:(?P<name>[\w.\-]+)(?=\{)")

    def value(text: str, at: int) -> tuple[Any, int]:
        if text.startswith(quote, at):
            end = text.index(quote, at + len(quote))
            return text[at + len(quote) : end], end + len(quote)
        if text[at] in "{[":
            return items(text, at + 1, text[at])
        found = re.compile(r"[^,\]}]+").match(text, at)
        if found is None:
            raise ValueError("no value")
        return NOTHING_DECLARED.value(found[0].strip()), found.end()

    def items(text: str, at: int, opened: str) -> tuple[Any, int]:
        mapping: dict[str, Any] = {}
        listed: list[Any] = []
        close = "}" if opened == "{" else "]"
        while text[at] != close:
            if opened == "{":
                key, at = key_of(text, at)
                mapping[key], at = value(text, at)
            else:
                item, at = value(text, at)
                listed.append(item)
            at += text[at] == ","
        return (mapping if opened == "{" else listed), at + 1

    def key_of(text: str, at: int) -> tuple[str, int]:
        if text.startswith(quote, at):
            end = text.index(quote, at + len(quote))
            return text[at + len(quote) : end], text.index(":", end) + 1
        end = text.index(":", at)
        return text[at:end].strip(), end + 1

    def read(body: str, types: Types) -> tuple[list[Call], int]:
        calls, at = [], 0
        while found := head.match(body, at):
            try:
                given, at = items(body, found.end() + 1, "{")
            except (IndexError, ValueError, RecursionError):
                break
            calls.append(Call(found["name"], given))
        return calls, at

    return read


def either(*readers: Reader) -> Reader:
    """Any of several shapes, the first that fits."""

    def read(body: str, types: Types) -> tuple[list[Call], int]:
        return next((found for reader in readers if (found := reader(body, types))[0]), ([], 0))

    return read


def _mapping(value: Any) -> Mapping[str, Any] | None:
    """Arguments, which some models write as a text of JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _behind(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that may be empty ends that is matched at a place."""
    found = pattern.match(text, at)
    return found.end() if found else at
