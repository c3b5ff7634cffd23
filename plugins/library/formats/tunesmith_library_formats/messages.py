"""Messages and tools in their canonical form, from the shapes that data sets have them in.

A canonical message has `role` (system, user, assistant, tool), `content` (text, or typed parts when there are media),
and optionally `reasoning`, `tool_calls` (with `arguments` as a mapping), `tool_call_id`, `name`, `weight`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith.types import Message

from tunesmith_library_formats.json_text import JsonDecoder, JsonError
from tunesmith_library_formats.shapes import FUNCTION, MESSAGE, shorten
from tunesmith_library_formats.tally import count

REPEATED_KEY = "give a key twice, of which the last value counts"
_ANY_CONTENT = ("tool", "function")  # what a tool gives may be any JSON

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def parse_json(value: Any, what: str) -> Any:
    """Parse a value that may be JSON text.

    Raises: DataError that says what is malformed.
    """
    if not isinstance(value, str):
        return value
    decoder = JsonDecoder()
    try:
        parsed = decoder.decode(value)
    except JsonError as error:
        place = f"character {error.position}" + (", as of a text that was cut" if error.ended else "")
        raise DataError(f"{what} is not JSON ({error}, {place}): {shorten(value)}") from error
    if decoder.repeated:
        count(REPEATED_KEY, first=f"`{decoder.repeated[0]}` in the JSON text of {what}")
    return parsed


def parse_tools(value: Any) -> list[dict[str, Any]] | None:
    """Tools as a list of `{"type": "function", "function": {...}}`, None when there are none.

    Args:
        value: a list, one tool, or JSON text of either; bare functions are wrapped.

    Raises: DataError.
    """
    if isinstance(value, str) and not value.strip():
        return None
    tools = parse_json(value, "tools")
    if not tools:
        return None
    if not isinstance(tools, list | tuple | Mapping):
        raise DataError(f"tools must be a list of mappings, found {shorten(tools)}")
    if isinstance(tools, Mapping):
        return [_tool(tools, "tools")]
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _tool(tool: Any, path: str) -> dict[str, Any]:
    tool = parse_json(tool, path)
    if not isinstance(tool, Mapping):
        raise DataError(f"`{path}` must be a tool, a mapping with a name, found {shorten(tool)}")
    wrapped = "function" in tool
    function, path = (tool["function"], f"{path}.function") if wrapped else (tool, path)
    if not isinstance(function, Mapping):
        raise DataError(f"`{path}` must be a mapping with a name, found {shorten(function)}")
    _need_name(function, f"{path}.name", "a tool has no name")
    parameters = function.get("parameters")
    if isinstance(parameters, str):
        parsed = parse_json(parameters, f"{path}.parameters") if parameters.strip() else None
        function = {**function, "parameters": parsed}
    if not FUNCTION.fits(function):
        raise DataError(FUNCTION.fault(function, path))
    return {**tool, "function": dict(function)} if wrapped else {"type": "function", "function": dict(function)}


def _need_name(function: Mapping[str, Any], path: str, what: str) -> None:
    """Raises: DataError where a function has no name, by which a model could call it."""
    name = function.get("name")
    if name is None or (isinstance(name, str) and not name.strip()):
        state = "is missing" if "name" not in function else "is null" if name is None else "is empty"
        raise DataError(f"{what}: `{path}` {state} in {shorten(dict(function))}")
    if not isinstance(name, str):
        raise DataError(f"{what}: `{path}` must be text, found {shorten(name)}")


def parse_tool_calls(value: Any) -> list[dict[str, Any]]:
    """Tool calls as `{"type": "function", "function": {"name": ..., "arguments": {...}}}`, with `id` where given.

    Args:
        value: one call or a list of parallel ones, or JSON text of either; bare calls are wrapped.

    Raises: DataError.
    """
    calls = parse_json(value, "a tool call")
    return [_tool_call(parse_json(call, "a tool call")) for call in (calls if isinstance(calls, list) else [calls])]


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise DataError(f"a tool call needs name and arguments, found {shorten(call)}")
    _need_name(function, "function.name" if "function" in call else "name", "a tool call needs name and arguments")
    arguments = function.get("arguments")
    arguments = {} if arguments in (None, "") else parse_json(arguments, f"arguments of {function['name']}")
    if not isinstance(arguments, Mapping):
        raise DataError(f"arguments of {function['name']} must be a mapping, found {shorten(arguments)}")
    made: dict[str, Any] = {"type": "function"}
    if call.get("id") is not None:
        made["id"] = str(call["id"])
    return {**made, "function": {"name": function["name"], "arguments": dict(arguments)}}


def parse_message(item: Any) -> Message:
    """One message in canonical form.

    Args:
        item: `role` and `content` as in the OpenAI API; also its former `function_call`, DeepSeek's
            `reasoning_content`, and typed parts `{"type", "value"}` that carry reasoning and tool calls.

    Raises: DataError.
    """
    if not isinstance(item, Mapping):
        raise DataError(f"a message must be a mapping with role and content, found {shorten(item)}")
    if not MESSAGE.fits(item):
        raise DataError(MESSAGE.fault(item, ""))
    role = ROLES.get(str(item.get("role")))
    if role is None:
        raise DataError(f"unknown role {item.get('role')!r}; {choices(str(item.get('role')), ROLES)}")
    message: Message = {"role": role}
    content = item.get("content")
    if not isinstance(content, str | list | None) and item["role"] not in _ANY_CONTENT:
        raise DataError(f"`content` of {role} must be text or a list of parts, found {shorten(content)}")
    parts = _Parts(content)
    message["content"] = parts.content
    reasoning = parts.reasoning or item.get("reasoning_content") or item.get("reasoning")
    if reasoning:
        message["reasoning"] = reasoning
    calls = [*parts.tool_calls, *_calls(item.get("tool_calls")), *_calls(item.get("function_call"))]
    if calls:
        message["tool_calls"] = calls
    elif "content" not in item:
        raise DataError(f"a message of {role} has no content: {shorten(dict(item))}")
    for name in ("tool_call_id", "name"):
        if item.get(name) is not None:
            message[name] = str(item[name])
    weight = message_weight(item)
    return message if weight is None else {**message, "weight": weight}


def message_weight(item: Mapping[str, Any]) -> float | None:
    """What a message weighs: its `weight` or `loss_weight`, or 0 or 1 by a true or false `loss` or `train`.

    Raises: DataError for a weight that is no number.
    """
    for name in ("weight", "loss_weight"):
        if item.get(name) is not None:
            return _number(item[name])
    switches = (item.get(name) for name in ("loss", "train"))
    return next((float(switch) for switch in switches if isinstance(switch, bool)), None)


def _calls(value: Any) -> list[dict[str, Any]]:
    return parse_tool_calls(value) if value else []


def _number(weight: Any) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"the weight of a message must be a number, found {shorten(weight)}")
    return number


class _Parts:
    """The content of a message taken apart: what is said, thought and called."""

    def __init__(self, content: Any) -> None:
        self.reasoning = ""
        self.tool_calls: list[dict[str, Any]] = []
        self.content: str | list[dict[str, Any]] = ""
        if isinstance(content, str) or content is None:
            self.content = content or ""
            return
        if not isinstance(content, list):
            self.content = json.dumps(content, ensure_ascii=False)
            return
        kept: list[dict[str, Any]] = []
        for part in content:
            self._sort(part, kept)
        media = any(part["type"] != "text" for part in kept)
        self.content = kept if media else "".join(part["text"] for part in kept)

    def _sort(self, part: Any, kept: list[dict[str, Any]]) -> None:
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise DataError(f"a part of a content needs a type, found {shorten(part)}")
        kind = part["type"]
        value = part.get("value", part.get(kind))
        if kind in ("text", "reasoning") and not isinstance(value, str):
            raise DataError(f"a {kind} part needs text, found {shorten(dict(part))}")
        if kind == "reasoning":
            self.reasoning += value
        elif kind == "tool_call":
            self.tool_calls += parse_tool_calls(value)
        else:
            kept.append({"type": "text", "text": value} if kind == "text" else dict(part))


def parse_messages(value: Any) -> list[Message]:
    """A conversation in canonical form.

    Args:
        value: a list of messages, one message, or JSON text of either.

    Raises: DataError that says which message is wrong.
    """
    items = parse_json(value, "messages")
    if not items or not isinstance(items, list | Mapping):
        raise DataError(f"a conversation must be a list of messages, found {shorten(items)}")
    messages = []
    for index, item in enumerate([items] if isinstance(items, Mapping) else items):
        try:
            messages.append(parse_message(item))
        except DataError as error:
            raise DataError(f"message {index}: {error}") from error
    return messages


def parse_answer(value: Any) -> list[Message]:
    """An answer in canonical form: text, one message, or several. Raises: DataError."""
    return [{"role": "assistant", "content": value}] if isinstance(value, str) else parse_messages(value)
