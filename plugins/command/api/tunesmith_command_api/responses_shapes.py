"""Responses as OpenAI's API writes them: one object, which the events of a stream build up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunesmith.types import Piece, ToolCall

from .answering import Answers
from .chat_shapes import CallIds, new_id
from .errors import ApiError
from .log_probs import chat_log_probs
from .responses_asking import LOG_PROBS
from .responses_fields import ResponsesRequest
from .service import Service

Event = dict[str, Any]

_ECHOED = (
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "previous_response_id", "prompt_cache_key"),
    *("safety_identifier", "temperature", "top_p", "user"),
)


def encoded(event: Event) -> bytes:
    """An event as it is sent: these streams have its name, too."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {text}\n\n".encode()


class Building:
    """A response while it is made. Its events number themselves; `response` is what there is of it."""

    def __init__(self, service: Service, body: ResponsesRequest, answers: Answers) -> None:
        self._service, self._body, self._answers = service, body, answers
        self._ids, self._open = CallIds(), ""  # what the last item is, while it grows: reasoning, message, or a call
        self._tokens = self._thought_tokens = self._number = 0
        self._in_summary = bool(body.reasoning and (body.reasoning.summary or body.reasoning.generate_summary))
        self.response = _begun(service, body)

    def first(self) -> Iterator[Event]:
        """What a stream begins with."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response={**self.response, "output": []})

    def of(self, piece: Piece) -> Iterator[Event]:
        """The events of a piece, of the last one without those that end the response."""
        self._tokens += piece.num_tokens
        self._thought_tokens += piece.num_tokens if piece.thought and not piece.text else 0
        if piece.thought:
            yield from self._into("reasoning", {"type": "reasoning", "id": new_id("rs_"), "summary": [], "content": []})
            yield from self._grow_thought(piece.thought)
        if piece.text:
            message = {"type": "message", "id": new_id("msg_"), "role": "assistant", "content": []}
            yield from self._into("message", message)
            yield from self._grow_text(piece)
        for call in piece.calls:
            yield from self._into(f"call {call.index}", self._call(call))
            if call.arguments:
                self._item["arguments"] += call.arguments
                yield self._event("response.function_call_arguments.delta", **self._place, delta=call.arguments)
        if piece.finish_reason:
            yield from self._close("incomplete" if piece.finish_reason == "length" else "completed")
            self._end(piece.finish_reason == "length")

    def last(self, cancelled: bool = False) -> Event:
        """The event that ends the response."""
        if cancelled:
            self.response.update(status="cancelled", incomplete_details=None, completed_at=None)
        kind = "completed" if self.response["status"] == "completed" else "incomplete"
        return self._event(f"response.{kind}", response=self.response)

    def failed(self, error: ApiError) -> Event:
        """The event that ends a response which cannot be made."""
        code = "server_error" if error.status >= 500 else error.code or "invalid_prompt"
        self.response.update(status="failed", error={"code": code, "message": error.message})
        return self._event("response.failed", response=self.response)

    def _grow_thought(self, text: str) -> Iterator[Event]:
        field, kind = ("summary", "summary_text") if self._in_summary else ("content", "reasoning_text")
        where = {**self._place, ("summary_index" if self._in_summary else "content_index"): 0}
        name = "reasoning_summary_text" if self._in_summary else "reasoning_text"
        if not self._item[field]:
            self._item[field].append({"type": kind, "text": ""})
            begins = "reasoning_summary_part" if self._in_summary else "content_part"
            yield self._event(f"response.{begins}.added", **where, part={"type": kind, "text": ""})
        self._item[field][0]["text"] += text
        yield self._event(f"response.{name}.delta", **where, delta=text)

    def _grow_text(self, piece: Piece) -> Iterator[Event]:
        where = {**self._place, "content_index": 0}
        if not self._item["content"]:
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self._item["content"].append(part)
            yield self._event("response.content_part.added", **where, part={**part})
        part, found = self._item["content"][0], self._log_probs(piece)
        part["text"] += piece.text
        part["logprobs"] = [*part["logprobs"], *found]
        yield self._event("response.output_text.delta", **where, delta=piece.text, logprobs=found)

    def _log_probs(self, piece: Piece) -> list[Any]:
        if LOG_PROBS not in (self._body.include or ()) or piece.thought:
            return []
        found = chat_log_probs(self._service.words, piece.token_ids, piece.log_probs)
        return list(found["content"])

    def _call(self, call: ToolCall) -> dict[str, Any]:
        named = {"call_id": self._ids.of(call), "name": call.name, "arguments": ""}
        return {"type": "function_call", "id": new_id("fc_"), **named}

    def _into(self, kind: str, item: dict[str, Any]) -> Iterator[Event]:
        """Begin an item, unless it is the one that grows."""
        if self._open == kind:
            return
        yield from self._close("completed")
        self._open = kind
        self.response["output"].append({**item, "status": "in_progress"})
        yield self._event("response.output_item.added", output_index=self._index, item=_copy(self._item))

    def _close(self, status: str) -> Iterator[Event]:
        """End the item that grows."""
        if not self._open:
            return
        item, place = self._item, self._place
        if item["type"] == "function_call":
            ended = {"name": item["name"], "arguments": item["arguments"]}
            yield self._event("response.function_call_arguments.done", **place, **ended)
        for part in item.get("content") or ():
            name = "output_text" if item["type"] == "message" else "reasoning_text"
            more = {"logprobs": part["logprobs"]} if item["type"] == "message" else {}
            yield self._event(f"response.{name}.done", **place, content_index=0, text=part["text"], **more)
            yield self._event("response.content_part.done", **place, content_index=0, part=part)
        for part in item.get("summary") or ():
            yield self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=part["text"])
            yield self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
        item["status"], self._open = status, ""
        yield self._event("response.output_item.done", output_index=self._index, item=_copy(item))

    def _end(self, cut_off: bool) -> None:
        cached = self._answers.cached_tokens
        self.response.update(
            status="incomplete" if cut_off else "completed",
            completed_at=None if cut_off else int(self._service.clock()),
            incomplete_details={"reason": "max_output_tokens"} if cut_off else None,
            usage={
                "input_tokens": self._answers.prompt_tokens,
                "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
                "output_tokens": self._tokens,
                "output_tokens_details": {"reasoning_tokens": self._thought_tokens},
                "total_tokens": self._answers.prompt_tokens + self._tokens,
            },
        )

    @property
    def _index(self) -> int:
        return len(self.response["output"]) - 1

    @property
    def _item(self) -> dict[str, Any]:
        item: dict[str, Any] = self.response["output"][-1]
        return item

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": self._index}

    def _event(self, kind: str, **content: Any) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **content}


def _copy(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is now."""
    copied: dict[str, Any] = json.loads(json.dumps(item))
    return copied


def _begun(service: Service, body: ResponsesRequest) -> dict[str, Any]:
    """A response of which nothing is said yet, with what was asked."""
    said: dict[str, Any] = body.model_dump(by_alias=True, exclude_none=True)
    reasoning = {"effort": None, "summary": None, **said.get("reasoning", {})}
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(service.clock()),
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": body.model or service.name,
        "output": [],
        **{name: said.get(name) for name in _ECHOED},
        "background": False,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "reasoning": reasoning,
        "service_tier": "default",
        "store": body.store is not False,
        "text": {"format": {"type": "text"}, **said.get("text", {})},
        "tool_choice": said.get("tool_choice", "auto"),
        "tools": said.get("tools", []),
        "top_logprobs": body.top_logprobs or 0,
        "truncation": "disabled",
        "usage": None,
    }
