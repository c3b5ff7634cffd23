"""In what shapes models write calls of tools: one reader for each, which the formats of `calls` fill with their marks.

A reader takes what stands between the marks of a block, whole, and gives its calls, or None where they are none.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""  # "" where the format has none

    @property
    def json(self) -> str:
        """The arguments as JSON."""
        return json.dumps(self.arguments, ensure_ascii=False)


Types = Mapping[str, Mapping[str, str]]
"""By tool and parameter the JSON type that the tool declares: what formats that write values bare cannot tell."""

Reader = Callable[[str, Types], list[Call] | None]
"""(what stands in a block, declared types) -> its calls; None where it is no whole and right block."""

_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,;]*")


def objects(*, name: str = "name", arguments: str = "arguments", id: str = "id") -> Reader:
    """JSON objects, or lists of them: `{"name": …, "arguments": {…}}`, under these or other usual keys."""
    keys_of_name, keys_of_arguments = (name, "name", "tool_name"), (arguments, "arguments", "parameters")

    def call(value: Any) -> Call | None:
        if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
            value = {id: value.get(id), **value["function"]}
        if not isinstance(value, Mapping):
            return None
        called = next((value[key] for key in keys_of_name if isinstance(value.get(key), str)), None)
        given = _mapping(next((value[key] for key in keys_of_arguments if value.get(key) is not None), {}))
        return None if called is None or given is None else Call(called, given, str(value.get(id) or ""))

    def read(body: str, types: Types) -> list[Call] | None:
        values, at = [], _BETWEEN.match(body, 0).end()  # type: ignore[union-attr]
        while at < len(body):
            try:
                value, at = _DECODER.raw_decode(body, at)
            except ValueError:
                return None
            values += value if isinstance(value, list) else [value]
            at = _BETWEEN.match(body, at).end()  # type: ignore[union-attr]
        return _all([call(value) for value in values])

    return read


def headed(head: str, tail: str = "") -> Reader:
    """Calls of which each is a head, a JSON object with the arguments, and a tail.

    Args:
        head: a pattern with the group `name`, and perhaps `id`.
        tail: a pattern.
    """
    begin, end = re.compile(rf"\s*{head}"), re.compile(rf"\s*{tail}")

    def read(body: str, types: Types) -> list[Call] | None:
        calls, at = [], 0
        while body[at:].strip():
            found = begin.match(body, at)
            try:
                given, at = _DECODER.raw_decode(body, found.end()) if found else (None, 0)
            except ValueError:
                return None
            closed = end.match(body, at)
            if found is None or closed is None or not isinstance(given, Mapping):
                return None
            calls.append(Call(found["name"].strip(), given, found.groupdict().get("id") or ""))
            at = closed.end()
        return calls or None

    return read


def elements(call: str, parameter: str, *, strip: str = "\n") -> Reader:
    """Calls as marked-up text: a name, and each argument by its key with a bare value.

    Args:
        call: a pattern with the groups `name` and `body`.
        parameter: a pattern with the groups `key` and `value`, and perhaps `string`: whether the value is one.
        strip: what one of is taken off the start and the end of a value.
    """
    calls, parameters = re.compile(call, re.DOTALL), re.compile(parameter, re.DOTALL)

    def value(found: re.Match[str], declared: str | None) -> Any:
        text = found["value"]
        for character in strip:
            text = text.removeprefix(character).removesuffix(character)
        said = found.groupdict().get("string")
        return text if said == "true" or declared == "string" else _plain(text)

    def read(body: str, types: Types) -> list[Call] | None:
        found = list(calls.finditer(body))
        if not found or calls.sub("", body).strip():
            return None
        made = []
        for match in found:
            name, given = match["name"].strip(), {}
            for item in parameters.finditer(match["body"]):
                key = item["key"].strip()
                given[key] = value(item, types.get(name, {}).get(key))
            if parameters.sub("", match["body"]).strip():
                return None
            made.append(Call(name, given))
        return made

    return read


def python_calls(body: str, types: Types) -> list[Call] | None:
    """Python: `[add(a=1, b="x"), today()]`, or one call to a line."""
    text = body.strip()
    try:
        if text.startswith("["):
            parsed: Any = ast.parse(text, mode="eval").body
            nodes: list[Any] = parsed.elts if isinstance(parsed, ast.List) else [None]
        else:
            nodes = [statement.value if isinstance(statement, ast.Expr) else None for statement in ast.parse(text).body]
        return _all([_python_call(node) for node in nodes])
    except (SyntaxError, ValueError, RecursionError):
        return None


def _python_call(node: Any) -> Call | None:
    if not isinstance(node, ast.Call) or node.args or any(item.arg is None for item in node.keywords):
        return None
    return Call(ast.unparse(node.func), {str(item.arg): _python_value(item.value) for item in node.keywords})


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
        return _plain(found[0].strip()), found.end()

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

    def read(body: str, types: Types) -> list[Call] | None:
        found = head.match(body)
        if found is None:
            return None
        try:
            given, end = items(body, found.end() + 1, "{")
        except (IndexError, ValueError):
            return None
        rest = read(body[end:], types) if body[end:].strip() else []
        return None if rest is None else [Call(found["name"], given), *rest]

    return read


def either(*readers: Reader) -> Reader:
    """Any of several shapes, the first that fits."""

    def read(body: str, types: Types) -> list[Call] | None:
        return next((calls for reader in readers if (calls := reader(body, types))), None)

    return read


def _mapping(value: Any) -> Mapping[str, Any] | None:
    """Arguments, which some models write as a text of JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _plain(text: str) -> Any:
    """A bare value: JSON where it is that, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return {"None": None, "True": True, "False": False}.get(text, text)


def _all(calls: list[Call | None]) -> list[Call] | None:
    """The calls, if there are some and all are right."""
    right = [call for call in calls if call is not None]
    return right if right and len(right) == len(calls) else None
