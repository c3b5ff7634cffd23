"""Conversations to /chat/completions, and what it says as deltas that hold text, thoughts and calls."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import DataError
from tunesmith.messages import logger
from tunesmith.types import Conversation, Delta, FinishReason, Message, Request, Sampling, ToolCall
from tunesmith_library_engine import StreamedAnswer

from .client import Client
from .servers import Server, sampling_fields

CONVERSATION, STOP = "conversation", "stop"
"""What `Request.inputs` holds in the place of a prompt."""

_KEYS = ("role", "content", "name", "tool_call_id")
_PARTS = ("text", "image_url", "input_audio", "video_url", "audio_url", "file", "refusal")


@dataclass(frozen=True)
class Spoken(Delta):
    """What is new of an answer whose tokens nobody tells."""

    text: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()


class SpokenAnswer(StreamedAnswer):
    """An answer of them; as a whole it is one."""

    def result(self) -> Delta:
        return _joined(list(self))

    def __await__(self) -> Generator[Any, None, Delta]:
        return self._all().__await__()

    async def _all(self) -> Delta:
        return _joined([delta async for delta in self])


def _joined(told: Sequence[Delta]) -> Delta:
    spoken = [delta for delta in told if isinstance(delta, Spoken)]
    return Spoken(
        (),
        finish_reason=told[-1].finish_reason,
        text="".join(delta.text for delta in spoken),
        thought="".join(delta.thought for delta in spoken),
        calls=tuple(call for delta in spoken for call in delta.calls),
    )


def chat_fields(server: Server, request: Request, defaults: Sampling) -> dict[str, Any]:
    """The body of a request, without the model's name.

    Raises: TunesmithError for what the server does not know, and for a conversation that it is not able to read.
    """
    conversation: Conversation = request.inputs[CONVERSATION]
    stop, sampling = list(request.inputs.get(STOP) or ()), request.sampling
    fields = {
        "messages": list(_messages(server, conversation.messages)),
        server.max_tokens: sampling.max_new_tokens or defaults.max_new_tokens,
        **sampling_fields(server, sampling, defaults),
        **_switched(server, dict(conversation.variables)),
        "stream_options": {"include_usage": True},
    }
    if stop:
        fields["stop"] = stop
    if conversation.tools:
        fields["tools"] = [tool if "function" in tool else _function(tool) for tool in map(dict, conversation.tools)]
    return fields


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _switched(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    """Variables of the chat template, as the server takes them."""
    fields = {name: variables.pop(name) for name in ("reasoning_effort",) if name in variables}
    if variables and not server.switches:
        raise TunesmithError(
            f"a server of the kind {server.name} takes no variables of a chat template: {', '.join(variables)}"
        )
    return {**fields, "chat_template_kwargs": variables} if variables else fields


def _messages(server: Server, messages: Sequence[Message]) -> Any:
    """Messages as the protocol has them; calls without ids get some, and so do the answers to them."""
    waiting: list[str] = []
    for number, message in enumerate(messages):
        made = {
            key: message[key] for key in ("role", "content", "name", "tool_call_id") if message.get(key) is not None
        }
        if isinstance(made.get("content"), list):
            made["content"] = [_part(part) for part in made["content"]]
        thought = message.get("reasoning") or message.get("reasoning_content")
        if thought and server.thoughts:
            made["reasoning_content"] = thought
        if message.get("tool_calls"):
            made["tool_calls"] = [_call(call, f"call_{number}_{at}") for at, call in enumerate(message["tool_calls"])]
            made.setdefault("content", None)
            waiting = [call["id"] for call in made["tool_calls"]]
        if made.get("role") == "tool":
            known = made.setdefault("tool_call_id", waiting[0] if waiting else f"call_{number}")
            waiting = [other for other in waiting if other != known]
        yield made


def _call(call: Mapping[str, Any], id_: str) -> dict[str, Any]:
    function = call.get("function") or call
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    made = {"name": function.get("name", ""), "arguments": text}
    return {"id": call.get("id") or id_, "type": "function", "function": made}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a message; an image of a file is sent along.

    Raises: DataError for a part that the protocol does not have, or a file that cannot be read.
    """
    kind = part.get("type")
    if kind in _PARTS:
        return dict(part)
    source = part.get("image") or part.get("path") or part.get("url")
    if kind != "image" or not isinstance(source, str):
        raise DataError(f"a part of a message is of the type {kind}.\n  possible: {', '.join(('image', *_PARTS))}")
    if source.startswith(("http://", "https://", "data:")):
        return {"type": "image_url", "image_url": {"url": source}}
    try:
        content = base64.b64encode(Path(source).read_bytes()).decode()
    except OSError as error:
        raise DataError(f"the image {source} cannot be read: {error}") from error
    form = mimetypes.guess_type(source)[0] or "image/png"
    return {"type": "image_url", "image_url": {"url": f"data:{form};base64,{content}"}}


async def spoken(
    client: Client, body: Mapping[str, Any], count: Callable[[int, int], None]
) -> AsyncGenerator[Delta, None]:
    """The answer to a conversation.

    Args:
        count: is told how many tokens the prompt and the answer have, if the server says it: behind the answer.

    Raises: TunesmithError for what is no answer.
    """
    last: Delta | None = None  # held back, for what is told of the tokens comes behind it
    usage: Mapping[str, Any] = {}
    async for said in client.stream("chat/completions", body):
        usage = said.get("usage") or usage
        choice = next(iter(said.get("choices") or ()), None)
        if choice is None or last is not None:
            continue
        new = choice.get("delta") or choice.get("message") or {}
        reason = _reason(choice.get("finish_reason"))
        delta = Spoken(
            (),
            finish_reason=reason,
            text=(new.get("content") or "") + (new.get("refusal") or ""),
            thought=new.get("reasoning_content") or new.get("reasoning") or "",
            calls=tuple(_called(call, place) for place, call in enumerate(new.get("tool_calls") or ())),
        )
        if reason:
            last = delta
        elif delta != Spoken(()):
            yield delta
    if last is not None:
        count(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        yield last
        return
    raise TunesmithError(f"{client.url}/chat/completions ended an answer without saying why")


def _called(call: Mapping[str, Any], place: int) -> ToolCall:
    function = call.get("function") or {}
    index = call.get("index")
    return ToolCall(
        place if index is None else int(index),
        function.get("name") or "",
        function.get("arguments") or "",
        call.get("id") or "",
    )


def _reason(said: str | None) -> FinishReason | None:
    if said == "content_filter":
        logger.warning("the server's filter ended an answer")
    return None if not said else "length" if said == "length" else "cancelled" if said == "abort" else "stop"
