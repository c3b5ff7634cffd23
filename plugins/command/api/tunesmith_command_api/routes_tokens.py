"""/tokenize and /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from .chat_asking import conversation_of, ending_of
from .chat_fields import ChatMessage, ChatRequest, Tool
from .errors import invalid
from .fields import Fields, passed_over
from .service import Service


class TokenizeRequest(Fields):
    """The body of /tokenize: a text, or a conversation as /v1/chat/completions takes it."""

    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    model: str | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class DetokenizeRequest(Fields):
    """The body of /detokenize."""

    tokens: list[int]
    model: str | None = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> Response:
        """The tokens of a text or a conversation."""
        headers = passed_over(service, body)
        service.adapter_of(body.model)
        tokens = await _tokens(service, body)
        made: dict[str, Any] = {
            "count": len(tokens),
            "max_model_len": service.engine.context_length,
            "tokens": tokens,
            "token_strs": [service.words.text_of(token) for token in tokens] if body.return_token_strs else None,
        }
        return JSONResponse(made, headers=headers)

    @routes.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Response:
        """The text of tokens."""
        headers = passed_over(service, body)
        service.adapter_of(body.model)
        text = await service.in_thread(
            lambda: service.decode(service.tokens_of(body.tokens, False, "tokens")), "tokens"
        )
        return JSONResponse({"prompt": text}, headers=headers)

    return routes


async def _tokens(service: Service, body: TokenizeRequest) -> list[int]:
    if (body.prompt is None) == (body.messages is None):
        raise invalid("either prompt or messages is needed, and not both", "prompt")
    if body.prompt is not None:
        text = body.prompt
        return await service.in_thread(lambda: service.tokens_of(text, body.add_special_tokens is not False), "prompt")
    asked = ChatRequest(
        messages=body.messages or [],
        tools=body.tools,
        add_generation_prompt=body.add_generation_prompt,
        continue_final_message=body.continue_final_message,
        chat_template_kwargs=body.chat_template_kwargs,
    )
    return await service.prompt(conversation_of(asked, service.template), ending_of(asked))
