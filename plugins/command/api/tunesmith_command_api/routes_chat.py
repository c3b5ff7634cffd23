"""/v1/chat/completions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from .answering import Answers, gathered
from .chat_asking import conversation_of, ending_of, refuse_impossible, tools_of
from .chat_fields import ChatRequest
from .chat_shapes import Chunks, completion
from .constraining import grammar_of
from .constraint_fields import constraint_of
from .errors import invalid
from .fields import passed_over
from .sampling_fields import sampling_of
from .service import Service
from .streaming import DONE, EventStream, data, unless_hung_up, with_errors
from .tool_choices import choice_of


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        headers = passed_over(service, body)
        if body.stream:
            answers = await _asked(service, body)
            return EventStream(with_errors(_events(service, body, answers)), headers, answers.cancel)

        async def whole() -> dict[str, Any]:
            answers = await _asked(service, body)
            return completion(service, body, answers, await gathered(answers))

        return JSONResponse(await unless_hung_up(request, whole()), headers=headers)

    return routes


async def _asked(service: Service, body: ChatRequest) -> Answers:
    """Begin to answer. Raises: ApiError."""
    refuse_impossible(body)
    adapter, ending = service.adapter_of(body.model), ending_of(body)
    choice, allowed = choice_of(body, [tool["function"]["name"] for tool in tools_of(body)])
    conversation = conversation_of(body, service.template, () if choice == "none" else allowed)
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if limit == 0:
        raise invalid("max_tokens: an answer has at least one token", "max_tokens")
    sampling = sampling_of(body, limit, service)
    parallel = body.parallel_tool_calls is not False and not body.functions
    grammar = await grammar_of(service, conversation, choice, parallel=parallel, text=lambda: constraint_of(body))
    return await service.answers(
        conversation,
        replace(sampling, grammar=grammar),
        n=body.count,
        stop=body.stops,
        adapter=adapter,
        log_probs=(body.top_logprobs or 0) if body.logprobs else None,
        ending=ending,
        skip_special_tokens=body.skip_special_tokens is not False,
        single_call=not parallel,
    )


async def _events(service: Service, body: ChatRequest, answers: Answers) -> AsyncIterator[bytes]:
    chunks = Chunks(service, body, answers)
    for index in range(body.count):
        yield data(chunks.first(index))
    async for piece in answers:
        for chunk in chunks.of(piece):
            yield data(chunk)
    if body.stream_options and body.stream_options.include_usage:
        yield data(chunks.usage())
    yield DONE
