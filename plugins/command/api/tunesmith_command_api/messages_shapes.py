"""Messages as Anthropic's API writes them, whole and as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunesmith.types import Piece, ToolCall

from .answering import Answers, Whole
from .chat_shapes import CallIds, new_id
from .messages_fields import MessagesRequest
from .service import Service
from .stopping import stop_string

Event = dict[str, Any]

PING: Event = {"type": "ping"}


def encoded(event: Event) -> bytes:
    """An event as it is sent: Anthropic's streams have its name, too."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {text}\n\n".encode()


def message(service: Service, body: MessagesRequest, answers: Answers, whole: Whole) -> dict[str, Any]:
    """A whole message."""
    ids, content = CallIds(), list[dict[str, Any]]()
    if whole.thought:
        shown = "" if _omits(body) else whole.thought
        content.append({"type": "thinking", "thinking": shown, "signature": ""})
    if whole.text or not (whole.calls or whole.thought):
        content.append({"type": "text", "text": whole.text, "citations": None})
    content += [{**_begun(call, ids), "input": _mapping(call.arguments)} for call in whole.calls.values()]
    reason, stopped_by = _ending(service, body, answers, whole)
    return {
        **_head(service, body),
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stopped_by,
        "usage": {**_input_usage(answers), **_output_usage(whole)},
    }


class Events:
    """The events of a streamed message: blocks one after the other, each of one type."""

    def __init__(self, service: Service, body: MessagesRequest, answers: Answers) -> None:
        self._service, self._body, self._answers = service, body, answers
        self._whole, self._ids = Whole(), CallIds()
        self._index, self._open = -1, ""  # of the block, and what it is: thinking, text, or a call's index

    def first(self) -> Iterator[Event]:
        """What a stream begins with."""
        begun = {**_head(self._service, self._body), "content": [], "stop_reason": None, "stop_sequence": None}
        yield {
            "type": "message_start",
            "message": {**begun, "usage": {**_input_usage(self._answers), "output_tokens": 0}},
        }
        yield PING

    def of(self, piece: Piece) -> Iterator[Event]:
        """The events of a piece."""
        self._whole.add(piece)
        if piece.thought:
            yield from self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            if not _omits(self._body):
                yield self._delta({"type": "thinking_delta", "thinking": piece.thought})
        if piece.text:
            yield from self._into("text", {"type": "text", "text": "", "citations": None})
            yield self._delta({"type": "text_delta", "text": piece.text})
        for call in piece.calls:
            yield from self._into(str(call.index), {**_begun(call, self._ids), "input": {}})
            if call.arguments:
                yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})
        if piece.finish_reason:
            yield from self._last()

    def _last(self) -> Iterator[Event]:
        if self._index < 0:
            yield from self._into("text", {"type": "text", "text": "", "citations": None})
        yield from self._close()
        reason, stopped_by = _ending(self._service, self._body, self._answers, self._whole)
        usage = {**_input_usage(self._answers), **_output_usage(self._whole)}
        yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": stopped_by}, "usage": usage}
        yield {"type": "message_stop"}

    def _into(self, kind: str, block: dict[str, Any]) -> Iterator[Event]:
        """Begin a block, unless it is the open one."""
        if self._open == kind:
            return
        yield from self._close()
        self._index, self._open = self._index + 1, kind
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[Event]:
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": ""})
        if self._open:
            yield {"type": "content_block_stop", "index": self._index}
        self._open = ""

    def _delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _head(service: Service, body: MessagesRequest) -> dict[str, Any]:
    return {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": body.model or service.name}


def _begun(call: ToolCall, ids: CallIds) -> dict[str, Any]:
    return {"type": "tool_use", "id": ids.of(call), "name": call.name}


def _mapping(arguments: str) -> Any:
    """Arguments as the object that they are; a call that was cut off has what can be said of it, none."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _input_usage(answers: Answers) -> dict[str, Any]:
    """The tokens of the prompt; as in Anthropic's API those that were computed before are counted apart."""
    cached = answers.cached_tokens
    return {
        "input_tokens": answers.prompt_tokens - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    }


def _output_usage(whole: Whole) -> dict[str, Any]:
    return {
        "output_tokens": len(whole.token_ids),
        "output_tokens_details": {"thinking_tokens": whole.thought_tokens},
    }


def _omits(body: MessagesRequest) -> bool:
    """Whether thoughts are to be marked, and not shown."""
    return body.thinking is not None and body.thinking.display == "omitted"


def _ending(service: Service, body: MessagesRequest, answers: Answers, whole: Whole) -> tuple[str, str | None]:
    """Why a message ended, and by which of the request's strings."""
    if whole.finish_reason == "length":
        limit, tokens = service.engine.context_length, answers.prompt_tokens + len(whole.token_ids)
        return ("max_tokens" if limit is None or tokens < limit else "model_context_window_exceeded"), None
    if whole.calls:
        return "tool_use", None
    strings, found = body.stop_sequences or (), answers.stopped_by.get(0)
    stopped_by = stop_string(service, strings, found, whole.token_ids[-1:])
    return ("end_turn" if stopped_by is None else "stop_sequence"), stopped_by
