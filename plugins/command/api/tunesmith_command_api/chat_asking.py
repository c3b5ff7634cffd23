"""From a request for chat completions to a conversation, and to how it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.types import Conversation, Message

from .chat_fields import Call, ChatMessage, ChatRequest, Part
from .errors import invalid

_ROLES = {"developer": "system", "function": "tool"}


def conversation_of(request: ChatRequest) -> Conversation:
    """Raises: ApiError for what cannot be said."""
    messages = [message_of(message, f"messages[{index}]") for index, message in enumerate(request.messages)]
    return Conversation(messages, tools_of(request) or None, variables_of(request))


def message_of(message: ChatMessage, path: str) -> Message:
    """A message in canonical form."""
    said: Message = {"role": _ROLES.get(message.role, message.role), "content": _content(message, path)}
    if message.name is not None:
        said["name"] = message.name
    if message.role == "assistant":
        if thought := message.reasoning or message.reasoning_content:
            said["reasoning"] = thought
        calls = [_call(call) for call in message.tool_calls or ()]
        if message.function_call is not None:
            calls.append(_call(Call(function=message.function_call)))
        if calls:
            said["tool_calls"] = calls
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _content(message: ChatMessage, path: str) -> str | list[dict[str, Any]]:
    if not isinstance(message.content, list):
        if message.content is None and message.role not in ("assistant",):
            raise invalid(f"{path}.content: a message of the {message.role} needs content", f"{path}.content")
        return message.content or message.refusal or ""
    return [_part(part, f"{path}.content[{index}]") for index, part in enumerate(message.content)]


def _part(part: Part, path: str) -> dict[str, Any]:
    if part.type in ("text", "input_text", "output_text") and part.text is not None:
        return {"type": "text", "text": part.text}
    if part.type == "refusal" and part.refusal is not None:
        return {"type": "text", "text": part.refusal}
    raise invalid(f"{path}: this model takes text alone, not {part.type}", path)


def _call(call: Call) -> dict[str, Any]:
    function = call.function
    made = {"type": "function", "function": {"name": function.name, "arguments": function.arguments or "{}"}}
    return {"id": call.id, **made} if call.id else made


def tools_of(request: ChatRequest) -> list[Mapping[str, Any]]:
    """The tools that may be called, as JSON schemas."""
    declared = [("tools", tool.type, tool.function) for tool in request.tools or ()]
    declared += [("functions", "function", function) for function in request.functions or ()]
    tools: list[Mapping[str, Any]] = []
    for index, (field, kind, function) in enumerate(declared):
        if kind != "function" or function is None:
            raise invalid(
                f"{field}[{index}]: only tools of type function are possible, not {kind}", f"{field}[{index}]"
            )
        made = function.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
        made.setdefault("parameters", {"type": "object", "properties": {}})
        tools.append({"type": "function", "function": made})
    return tools


def variables_of(request: ChatRequest) -> dict[str, Any]:
    """What a request says to the template."""
    named = {name: getattr(request, name) for name in ("reasoning_effort", "enable_thinking", "documents")}
    return {
        **{name: value for name, value in named.items() if value is not None},
        **(request.chat_template_kwargs or {}),
    }
