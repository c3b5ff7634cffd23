"""From a request for chat completions to a conversation, and to how it is answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tunesmith.types import ChatTemplate, Conversation, Message

from .chat_fields import Call, ChatMessage, ChatRequest, Part
from .errors import invalid
from .fields import refuse
from .media import MEDIA_TYPES
from .prompting import Ending

_ROLES = {"developer": "system", "function": "tool"}


_NO_SUCH_OUTPUT = "answers are text"
_NOT_COUNTED = "tokens that end an answer are not held back for a number of tokens; ignore_eos holds them back for all"
_IMPOSSIBLE = {
    "best_of": "it is a field of /v1/completions",
    "echo": "it is a field of /v1/completions",
    "prompt_logprobs": "ask /v1/completions with echo and logprobs",
    "min_tokens": _NOT_COUNTED,
    "use_beam_search": "beams are an option of the engine",
    "length_penalty": "it is for beams, which are an option of the engine",
    "bad_words": "logit_bias with -100 forbids tokens",
    "chat_template": "the model's own template is used",
    "include_stop_str_in_output": "the text ends before it",
    "audio": _NO_SUCH_OUTPUT,
    "web_search_options": "this server searches nothing",
}
_TAKEN = frozenset({"self", "messages", "tools", "training", "add_generation_prompt", "continue_final_message"})
"""What a template is rendered with, beside its variables."""
_NEUTRAL = {"best_of": (1,), "length_penalty": (1.0,)}


def refuse_impossible(request: ChatRequest) -> None:
    """Raises: ApiError for a field that is known and cannot be honoured."""
    refuse(request, _IMPOSSIBLE, _NEUTRAL)
    if other := sorted({*(request.modalities or ())} - {"text"}):
        raise invalid(f"modalities: {_NO_SUCH_OUTPUT}, not {', '.join(other)}", "modalities", "unsupported_parameter")
    if request.top_logprobs and not request.logprobs:
        raise invalid("top_logprobs needs logprobs: true", "top_logprobs")
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options needs stream: true", "stream_options")


def ending_of(request: ChatRequest) -> Ending:
    """How the conversation ends as a prompt.

    Raises: ApiError for two ways at a time.
    """
    if not request.continue_final_message:
        return "none" if request.add_generation_prompt is False else "prompt"
    if request.add_generation_prompt:
        message = "continue_final_message goes on within the last message, and add_generation_prompt begins a new one"
        raise invalid(f"{message}: one is possible", "continue_final_message")
    return "continue"


def conversation_of(
    request: ChatRequest, template: ChatTemplate, allowed: Collection[str] | None = None
) -> Conversation:
    """
    Args:
        allowed: the names of the tools that may be called; None: all.

    Raises: ApiError for what cannot be said.
    """
    own = frozenset({"developer"}) if "developer" in template.jinja else frozenset[str]()
    messages = [message_of(message, f"messages[{index}]", own) for index, message in enumerate(request.messages)]
    _check_results(request.messages)
    tools = [tool for tool in tools_of(request) if allowed is None or tool["function"]["name"] in allowed]
    return Conversation(messages, tools or None, variables_of(request, template))


def _check_results(messages: Sequence[ChatMessage]) -> None:
    """Raises: ApiError for what a tool gave to a call that nobody made; calls without an id are anybody's."""
    made: set[str | None] = set()
    for index, message in enumerate(messages):
        made |= {call.id for call in message.tool_calls or ()}
        if message.function_call is not None:
            made.add(None)
        asked = message.tool_call_id
        if message.role == "tool" and asked is not None and not made & {asked, None}:
            place = f"messages[{index}].tool_call_id"
            raise invalid(f"{place}: no call of the messages before has the id {asked!r}", place)


def message_of(message: ChatMessage, path: str, own: Collection[str] = ()) -> Message:
    """A message in canonical form.

    Args:
        own: roles beside the usual ones that the template writes.
    """
    role = message.role if message.role in own else _ROLES.get(message.role, message.role)
    said: Message = {"role": role, "content": _content(message, path)}
    if message.audio:
        raise invalid(f"{path}.audio: there is no sound of an answer to go back to", f"{path}.audio")
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
    if part.type in MEDIA_TYPES:
        return part.model_dump(exclude_none=True)  # `showing` has a look at it
    raise invalid(
        f"{path}: a part of type {part.type!r} cannot be read; possible: text, image_url, video_url, input_audio", path
    )


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
        made = function.model_dump(include={"name", "description", "parameters", "strict"}, exclude_none=True)
        made.setdefault("parameters", {"type": "object", "properties": {}})
        tools.append({"type": "function", "function": made})
    return tools


def variables_of(request: ChatRequest, template: ChatTemplate) -> dict[str, Any]:
    """What a request says to the template.

    Raises: ApiError, as `effort_variables` does.
    """
    given: dict[str, Any] = {} if request.documents is None else {"documents": request.documents}
    given.update(effort_variables(template, request.reasoning_effort))
    if request.enable_thinking is not None:
        given["enable_thinking"] = request.enable_thinking
    return {**given, **own_variables(request.chat_template_kwargs)}


def own_variables(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `chat_template_kwargs` gives to the template.

    Raises: ApiError for what is no variable of it.
    """
    if taken := sorted(_TAKEN & (given or {}).keys()):
        raise invalid(f"chat_template_kwargs.{taken[0]} is no variable of a template", "chat_template_kwargs")
    return dict(given or {})


def effort_variables(template: ChatTemplate, effort: str | None, field: str = "reasoning_effort") -> dict[str, Any]:
    """How much to think, in the variables of a template.

    Args:
        field: where the request says so.

    Raises: ApiError where the template knows of no way to think more or less.
    """
    if effort is None:
        return {}
    if "reasoning_effort" in template.jinja:
        return {"reasoning_effort": effort}
    little = effort in ("none", "minimal")
    if getattr(template, "switches_thinking", False):
        return {"enable_thinking": not little}
    if little and not getattr(template, "thinking", None):
        return {}
    message = f"{field} is not supported: template {template.name} cannot be told how much to think"
    raise invalid(message, field, "unsupported_parameter")
