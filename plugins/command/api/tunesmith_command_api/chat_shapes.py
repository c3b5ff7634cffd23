"""Chat completions as OpenAI's API writes them, whole and in chunks."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.types import Piece, ToolCall

from .answering import Answers, Whole
from .chat_fields import ChatRequest
from .log_probs import chat_log_probs
from .service import Service
from .stopping import stop_reason

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """A name for a response that no other has."""
    return prefix + secrets.token_hex(12)


class CallIds:
    """The ids of the calls of one answer: those that the model gave, where they tell calls apart, else new ones.

    New ones have nine letters and digits, which is what the strictest templates take.
    """

    def __init__(self) -> None:
        self._given: dict[int, str] = {}

    def of(self, call: ToolCall) -> str:
        if call.index not in self._given:
            own = call.id if call.id not in self._given.values() else ""
            self._given[call.index] = own or "".join(secrets.choice(_LETTERS) for _ in range(9))
        return self._given[call.index]


def usage_of(answers: Answers, completion_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
    """How many tokens a request took."""
    return {
        "prompt_tokens": answers.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": answers.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answers.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }


def completion(service: Service, body: ChatRequest, answers: Answers, wholes: Sequence[Whole]) -> dict[str, Any]:
    """A whole response."""
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(service.clock()),
        "model": body.model or service.name,
        "system_fingerprint": None,
        "choices": [_choice(service, body, index, whole) for index, whole in enumerate(wholes)],
        "usage": usage_of(
            answers, sum(len(whole.token_ids) for whole in wholes), sum(whole.thought_tokens for whole in wholes)
        ),
    }


def _choice(service: Service, body: ChatRequest, index: int, whole: Whole) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": whole.text, "refusal": None}
    if whole.thought and body.include_reasoning is not False:
        message.update(reasoning=whole.thought, reasoning_content=whole.thought)
    if whole.calls:
        ids = CallIds()
        called = [_called(call, ids) for call in whole.calls.values()]
        message["content"] = whole.text or None
        if body.functions:
            message["function_call"] = called[0]["function"]
        else:
            message["tool_calls"] = called
    found = chat_log_probs(service.words, whole.token_ids, whole.log_probs) if body.logprobs else None
    reason = finish_reason(body, whole.finish_reason, bool(whole.calls))
    stopped = stop_reason(service, body, whole.finish_reason, whole.stopped_by, whole.token_ids)
    return {"index": index, "message": message, "logprobs": found, "finish_reason": reason, "stop_reason": stopped}


def _called(call: ToolCall, ids: CallIds) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": ids.of(call), "type": "function", "function": function}


def finish_reason(body: ChatRequest, reason: str | None, called: bool) -> str | None:
    """Why an answer ended, in the words of OpenAI's API."""
    if reason != "stop" or not called:
        return reason
    return "function_call" if body.functions else "tool_calls"


class Chunks:
    """The chunks of a streamed response."""

    def __init__(self, service: Service, body: ChatRequest, answers: Answers) -> None:
        self._service, self._body, self._answers = service, body, answers
        self._base = {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": int(service.clock()),
            "model": body.model or service.name,
            "system_fingerprint": None,
        }
        if body.stream_options and body.stream_options.include_usage:
            self._base["usage"] = None  # but in the last one
        self._counts = bool(body.stream_options and body.stream_options.continuous_usage_stats)
        self._ids = [CallIds() for _ in range(body.count)]
        self._named: set[tuple[int, int]] = set()  # calls that were begun, by answer and index
        self._tokens = self._thought_tokens = 0

    def first(self, index: int) -> dict[str, Any]:
        """What an answer begins with."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def of(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """The chunks of a piece; the last one of an answer has nothing but why it ended."""
        self._tokens += piece.num_tokens
        self._thought_tokens += piece.num_tokens if piece.thought and not piece.text else 0
        delta: dict[str, Any] = {}
        if piece.thought and self._body.include_reasoning is not False:
            delta.update(reasoning=piece.thought, reasoning_content=piece.thought)
        if piece.text:
            delta["content"] = piece.text
        if piece.calls and self._body.functions:
            delta["function_call"] = self._part(piece.index, piece.calls[0])["function"]
        elif piece.calls:
            delta["tool_calls"] = [self._part(piece.index, call) for call in piece.calls]
        found = None
        if self._body.logprobs and piece.token_ids:
            found = chat_log_probs(self._service.words, piece.token_ids, piece.log_probs)
        if delta or found:
            yield self._chunk(piece.index, delta, found)
        if piece.finish_reason:
            called = any(index == piece.index for index, _ in self._named)
            reason = finish_reason(self._body, piece.finish_reason, called)
            yield self._chunk(piece.index, {}, None, reason, self._stopped(piece))

    def _stopped(self, piece: Piece) -> str | int | None:
        found = self._answers.stopped_by.get(piece.index)
        return stop_reason(self._service, self._body, piece.finish_reason, found, piece.token_ids)

    def _part(self, index: int, call: ToolCall) -> dict[str, Any]:
        if (index, call.index) in self._named:
            return {"index": call.index, "function": {"arguments": call.arguments}}
        self._named.add((index, call.index))
        return {"index": call.index, **_called(call, self._ids[index])}

    def usage(self) -> dict[str, Any]:
        """The last chunk, where usage was asked for."""
        return {**self._base, "choices": [], "usage": self._used()}

    def _used(self) -> dict[str, Any]:
        return usage_of(self._answers, self._tokens, self._thought_tokens)

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        log_probs: Any = None,
        reason: str | None = None,
        stopped: str | int | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": log_probs, "finish_reason": reason}
        choice |= {"stop_reason": stopped} if reason else {}
        chunk = {**self._base, "choices": [choice]}
        return {**chunk, "usage": self._used()} if self._counts else chunk
