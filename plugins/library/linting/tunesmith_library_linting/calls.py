"""Tool calls beside the tools that a row has: their names, their arguments against the schemas, their ids."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tunesmith.types import Message, Row

from .findings import RowCheck, Severity
from .texts import text_of, threads

_PYTHON = {
    **{"str": "string", "int": "integer", "float": "number", "bool": "boolean"},
    **{"dict": "object", "list": "array", "tuple": "array"},
}
_SPELT = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)


class ToolCalls(RowCheck):
    """Calls that no tool of the row takes, and schemas that are none."""

    name: ClassVar[str] = "tool_call"
    says: ClassVar[str] = "a call or a tool is no JSON, or not what its schema asks for"
    mends: ClassVar[str] = "leaves it out"

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        tools: dict[str, Any] = {}
        for tool in row.get("tools") or []:
            function = tool.get("function")
            name = function.get("name") if isinstance(function, Mapping) else None
            if not isinstance(name, str):
                yield "error", "a tool has no name"
                continue
            if name in tools:
                yield "warning", f"there are two tools {name}"
            tools[name] = function.get("parameters")
            fault = _validator(_key(tools[name]))[1]
            if fault:
                yield "warning", f"the parameters of {name} are no JSON schema: {fault}"
        seen = set()
        for messages in threads(row).values():
            for found in _in_conversation(messages, tools):
                if found not in seen:
                    seen.add(found)
                    yield found


def _in_conversation(messages: list[Message], tools: Mapping[str, Any]) -> Iterator[tuple[Severity, str]]:
    ids: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            answered = message.get("tool_call_id")
            if answered and ids and answered not in ids:
                yield "error", f"message {index}: no call before has the id {answered}"
        if message["role"] != "assistant":
            continue
        calls = message.get("tool_calls") or []
        if len(calls) > 1:
            refused = "which templates of models that call one at a time, such as Llama 3's, refuse"
            yield "warning", f"message {index}: {len(calls)} tools are called at once, {refused}"
        for call in calls:
            ids.update([str(call["id"])] if call.get("id") else [])
            yield from ((severity, f"message {index}: {fault}") for severity, fault in _of_call(call, tools))
        for spelt in _SPELT.findall(text_of(message)):
            if not _is_json(spelt):
                yield "error", f"message {index}: the text holds a call that is no JSON"


def _of_call(call: Mapping[str, Any], tools: Mapping[str, Any]) -> Iterator[tuple[Severity, str]]:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if not tools:
        yield "warning", f"{name} is called, and the row has no tools"
    elif name not in tools:
        yield "error", f"{name} is called, which is no tool of the row: {', '.join(tools)}"
    else:
        fault = _mismatch(tools[name], arguments)
        if fault:
            yield "error", f"arguments of {name}{fault}"


def _mismatch(schema: Any, arguments: Any) -> str:
    """Where arguments are not what a schema asks for, and how; "" where they are, or the schema is none."""
    from referencing.exceptions import Unresolvable

    validator, _ = _validator(_key(schema))
    try:
        error = next(iter(validator.iter_errors(arguments)), None) if validator else None
    except (Unresolvable, re.error, RecursionError) as broken:
        return f" cannot be held against its schema: {_short(str(broken))}"
    if error is None:
        return ""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"{where}: {_short(error.message)}"


@functools.lru_cache(maxsize=4096)
def _validator(key: str) -> tuple[Any, str]:
    """A validator of the schema that stands in a text, and what is wrong with that schema.

    None where the arguments cannot be held against it; one that names types as Python does can be read all the same.
    """
    import jsonschema

    written = json.loads(key)
    schema = _in_words_of_json({} if written is None else written)
    cls = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    fault = _fault_of(schema, cls)
    if fault:
        return None, fault
    return cls(schema), _fault_of(written, cls) if written is not None else ""


def _fault_of(schema: Any, cls: Any) -> str:
    """What is wrong with a schema; "" for nothing."""
    import jsonschema

    try:
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return f"{where}: {_short(error.message)}" if where else _short(error.message)
    return "it refers to another document, which is not fetched" if _refers_outside(schema) else ""


def _in_words_of_json(schema: Any) -> Any:
    """A schema with the types that it names as Python does in the words of JSON."""
    if isinstance(schema, list):
        return [_in_words_of_json(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: _in_words_of_json(item) for name, item in schema.items()}
    if isinstance(made.get("type"), str):
        made["type"] = _PYTHON.get(made["type"], made["type"])
    return made


def _refers_outside(schema: Any) -> bool:
    """Whether a schema has a `$ref` that is not within itself."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        outside = isinstance(reference, str) and not reference.startswith("#")
        return outside or any(map(_refers_outside, schema.values()))
    return isinstance(schema, list) and any(map(_refers_outside, schema))


def _key(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, default=str)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return text.startswith("<")  # calls in XML, as some families write them
    return True


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."
