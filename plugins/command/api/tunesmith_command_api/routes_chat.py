"""/v1/chat/completions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from .answering import Answers, gathered
from .chat_asking import conversation_of
from .chat_fields import ChatRequest
from .chat_shapes import Chunks, completion
from .fields import passed_over
from .sampling_fields import sampling_of
from .service import Service
from .streaming import DONE, data, event_stream, unless_hung_up, with_errors


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        headers = passed_over(service, body)
        if body.stream:
            answers = await _asked(service, body)
            return event_stream(with_errors(_events(service, body, answers)), headers)

        async def whole() -> dict[str, Any]:
            answers = await _asked(service, body)
            return completion(service, body, answers, await gathered(answers))

        return JSONResponse(await unless_hung_up(request, whole()), headers=headers)

    return routes


async def _asked(service: Service, body: ChatRequest) -> Answers:
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return await service.answers(
        conversation_of(body),
        sampling_of(body, limit or None, len(service.tokenizer)),
        n=body.count,
        stop=body.stops,
        adapter=service.adapter_of(body.model),
        log_probs=(body.top_logprobs or 0) if body.logprobs else None,
        skip_special_tokens=body.skip_special_tokens is not False,
    )


async def _events(service: Service, body: ChatRequest, answers: Answers) -> AsyncIterator[bytes]:
    chunks = Chunks(service, body)
    for index in range(body.count):
        yield data(chunks.first(index))
    async for piece in answers:
        for chunk in chunks.of(piece):
            yield data(chunk)
    if body.stream_options and body.stream_options.include_usage:
        yield data(chunks.usage(answers))
    yield DONE
