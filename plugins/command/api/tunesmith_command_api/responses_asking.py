"""From a request for a response to a conversation, and to how it is answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tunesmith.types import Conversation, Message
from tunesmith_library_engine import grammars

from .chat_asking import effort_variables, own_variables
from .errors import invalid
from .fields import refuse
from .responses_fields import Item, Part, ResponsesRequest
from .service import Service

LOG_PROBS = "message.output_text.logprobs"
_INCLUDED = (LOG_PROBS, "reasoning.encrypted_content")  # thoughts are sent in clear, and read so when they come back
_IMPOSSIBLE = {
    "n": "there is one response to a request",
    "background": "a response is made while its client waits; use stream",
    "background_options": "a response is made while its client waits; use stream",
    "context_management": "the whole conversation is read",
    "conversation": "use previous_response_id, or send the items",
    "prompt": "this server keeps no prompts",
    "moderation": "this server moderates nothing",
    "image": "answers are text",
    "truncation": "the whole conversation is read; one that does not fit is an error",
}
_NEUTRAL = {"n": (1,), "truncation": ("disabled",)}
_ROLES = {"user": "user", "assistant": "assistant", "system": "system"}
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def refuse_impossible(request: ResponsesRequest) -> None:
    """Raises: ApiError for a field that is known and cannot be honoured."""
    refuse(request, _IMPOSSIBLE, _NEUTRAL)
    for name in request.include or ():
        if name not in _INCLUDED:
            raise invalid(f"include: {name!r} is not possible; possible: {', '.join(_INCLUDED)}", "include")


def items_of(request: ResponsesRequest) -> list[dict[str, Any]]:
    """What came with a request, as items. Raises: ApiError where there is nothing."""
    if request.input is None or request.input == []:
        raise invalid("input is missing: text, or a list of items", "input")
    if isinstance(request.input, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": request.input}]}]
    return [item.model_dump(exclude_none=True, exclude_unset=True) for item in request.input]


def conversation_of(
    request: ResponsesRequest, items: Sequence[Mapping[str, Any]], allowed: Collection[str], service: Service
) -> Conversation:
    """
    Args:
        items: the whole conversation, what earlier responses had included.
        allowed: the names of the tools that may be called.

    Raises: ApiError for what cannot be said.
    """
    start: list[Message] = [{"role": "system", "content": request.instructions}] if request.instructions else []
    tools = [tool for tool in tools_of(request) if tool["function"]["name"] in allowed]
    messages = _one_system(
        [*start, *_Items(service.template.jinja).read([Item.model_validate(item) for item in items])]
    )
    return Conversation(messages, tools or None, _variables(request, service))


def tools_of(request: ResponsesRequest) -> list[dict[str, Any]]:
    """The tools that are declared, as JSON schemas. Raises: ApiError for one that a server would have to have."""
    tools = []
    for index, tool in enumerate(request.tools or ()):
        if tool.type != "function" or not tool.name:
            found = f"of type {tool.type!r}" if tool.type != "function" else "without a name"
            raise invalid(
                f"tools[{index}]: only functions with a name are possible, not one {found}", f"tools[{index}]"
            )
        described = {"description": tool.description} if tool.description else {}
        function = {
            "name": tool.name,
            **described,
            "parameters": tool.parameters or {"type": "object", "properties": {}},
        }
        tools.append({"type": "function", "function": function | ({"strict": True} if tool.strict else {})})
    return tools


def text_grammar(request: ResponsesRequest) -> str | None:
    """The grammar of what the text must be. Raises: ApiError; TunesmithError for a schema that is none."""
    asked = request.text.format if request.text else None
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return grammars.json_object()
    if asked.type != "json_schema" or asked.json_schema is None:
        message = f"text.format of type {asked.type!r}: it must be text, json_object, or json_schema with a schema"
        raise invalid(message, "text.format")
    return grammars.json_schema(asked.json_schema)


def _variables(request: ResponsesRequest, service: Service) -> dict[str, Any]:
    """What is said to the template. Raises: ApiError, as `effort_variables` does."""
    effort = request.reasoning.effort if request.reasoning else None
    made = effort_variables(service.template, effort, "reasoning.effort")
    if request.enable_thinking is not None:
        made["enable_thinking"] = request.enable_thinking
    return made | own_variables(request.chat_template_kwargs)


def _one_system(messages: Sequence[Message]) -> list[Message]:
    """What the system says at the beginning as one message: templates have a place for one."""
    count = next((place for place, message in enumerate(messages) if message["role"] != "system"), len(messages))
    if count < 2 or not all(isinstance(message["content"], str) for message in messages[:count]):
        return list(messages)
    told = "\n\n".join(message["content"] for message in messages[:count])
    return [{"role": "system", "content": told}, *messages[count:]]


class _Items:
    """Reads items into messages: what the model thought, said and called between two turns is one of them."""

    def __init__(self, jinja: str) -> None:
        self._roles = {**_ROLES, "developer": "developer" if "developer" in jinja else "system"}
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}  # of the tools, by the id of the call

    def read(self, items: Iterable[Item]) -> list[Message]:
        """Raises: ApiError for an item that cannot be read."""
        for index, item in enumerate(items):
            kind, place = item.type or "message", f"input[{index}]"
            read = getattr(self, f"_{kind}", None) if kind in _KINDS else None
            if read is None:
                raise invalid(f"{place}: an item of type {kind!r} cannot be read; possible: {', '.join(_KINDS)}", place)
            read(item, place)
        return self._messages

    def _message(self, item: Item, place: str) -> None:
        role = self._roles.get(item.role or "")
        if role is None or item.content is None:
            raise invalid(f"{place}: a message has a role ({', '.join(self._roles)}) and content", place)
        content = _content(item.content, f"{place}.content")
        if role != "assistant":
            self._messages.append({"role": role, "content": content})
            return
        if not isinstance(content, str):
            raise invalid(f"{place}.content: what the assistant says is text", f"{place}.content")
        said = self._said()
        said["content"] = content if not said["content"] else f"{said['content']}\n\n{content}"

    def _reasoning(self, item: Item, place: str) -> None:
        thought = _content(item.content or item.summary or "", place)
        if thought:
            said = self._said()
            said["reasoning"] = f"{said['reasoning']}\n\n{thought}" if said.get("reasoning") else thought

    def _function_call(self, item: Item, place: str) -> None:
        if not item.call_id or not item.name:
            raise invalid(f"{place}: a function_call has a call_id, a name and arguments", place)
        self._names[item.call_id] = item.name
        function = {"name": item.name, "arguments": item.arguments or "{}"}
        self._said().setdefault("tool_calls", []).append({"id": item.call_id, "type": "function", "function": function})

    def _function_call_output(self, item: Item, place: str) -> None:
        name = self._names.get(item.call_id or "")
        if name is None:
            message = f"{place}.call_id: no call of the items before has the call_id {item.call_id!r}"
            raise invalid(message, f"{place}.call_id")
        content = _content(item.output or "", f"{place}.output")
        self._messages.append({"role": "tool", "tool_call_id": item.call_id, "name": name, "content": content})

    def _said(self) -> Message:
        """The message of the assistant that is being read."""
        if not self._messages or self._messages[-1]["role"] != "assistant":
            self._messages.append({"role": "assistant", "content": ""})
        return self._messages[-1]


_KINDS = ("message", "reasoning", "function_call", "function_call_output")


def _content(content: str | Sequence[Part], place: str) -> str | list[dict[str, Any]]:
    """Text where there is nothing else, otherwise typed parts. Raises: ApiError."""
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{place}[{index}]") for index, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Part, place: str) -> dict[str, Any]:
    if part.type in _TEXTS and part.text is not None:
        return {"type": "text", "text": part.text}
    if part.type == "refusal" and part.refusal is not None:
        return {"type": "text", "text": part.refusal}
    if part.type == "input_image" and part.image_url is not None:
        return {"type": "image_url", "image_url": {"url": part.image_url}}
    raise invalid(f"{place}: a part of type {part.type!r} cannot be read; possible: input_text, input_image", place)
