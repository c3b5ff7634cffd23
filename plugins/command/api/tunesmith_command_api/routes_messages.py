"""/v1/messages and /v1/messages/count_tokens: the same answers in the words of Anthropic's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from .answering import Answers, gathered
from .constraining import grammar_of
from .fields import passed_over
from .messages_asking import choice_of, conversation_of, ending_of, text_grammar
from .messages_fields import CountRequest, MessagesRequest
from .messages_shapes import PING, Events, encoded, message
from .refusals import anthropic_shape
from .sampling_fields import sampling_of
from .service import Service
from .streaming import EventStream, unless_hung_up, with_errors

_PATIENCE = 10.0  # seconds without an event, after which there is a ping


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/messages")
    async def messages(body: MessagesRequest, request: Request) -> Response:
        """Answer a conversation."""
        headers = passed_over(service, body)
        if body.stream:
            answers = await _asked(service, body)
            events = with_errors(_events(service, body, answers), lambda error: encoded(anthropic_shape(error)))
            return EventStream(events, headers, answers.cancel)

        async def whole() -> dict[str, Any]:
            answers = await _asked(service, body)
            return message(service, body, answers, (await gathered(answers))[0])

        return JSONResponse(await unless_hung_up(request, whole()), headers=headers)

    @routes.post("/v1/messages/count_tokens")
    async def count_tokens(body: CountRequest) -> Response:
        """How many tokens a conversation has as a prompt."""
        headers = passed_over(service, body)
        service.adapter_of(body.model)
        prompt = await service.prompt(conversation_of(body, service), ending_of(body))
        return JSONResponse({"input_tokens": len(prompt)}, headers=headers)

    return routes


async def _asked(service: Service, body: MessagesRequest) -> Answers:
    """Begin to answer. Raises: ApiError."""
    adapter, ending = service.adapter_of(body.model), ending_of(body)
    conversation, (choice, parallel) = conversation_of(body, service), choice_of(body)
    sampling = sampling_of(body, body.max_tokens, service)
    grammar = await grammar_of(service, conversation, choice, parallel=parallel, text=lambda: text_grammar(body))
    return await service.answers(
        conversation,
        replace(sampling, grammar=grammar),
        stop=[string for string in (*(body.stop_sequences or ()), *body.stops) if string],
        adapter=adapter,
        ending=ending,
        single_call=not parallel,
        thinking_tokens=body.thinking.budget_tokens if body.thinking else None,
    )


async def _events(service: Service, body: MessagesRequest, answers: Answers) -> AsyncIterator[bytes]:
    events = Events(service, body, answers)
    for event in events.first():
        yield encoded(event)
    async for piece in _or_none(answers, _PATIENCE):
        for event in [PING] if piece is None else events.of(piece):
            yield encoded(event)


async def _or_none(answers: Answers, seconds: float) -> AsyncIterator[Any]:
    """The pieces of answers, and None each time that none has come for so long."""
    pieces = aiter(answers)
    waiting: asyncio.Future[Any] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(pieces))
            done, _ = await asyncio.wait((waiting,), timeout=seconds)
            if not done:
                yield None
                continue
            try:
                piece = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield piece
    finally:
        if waiting is not None:
            waiting.cancel()
        answers.cancel()
