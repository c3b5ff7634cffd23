"""/v1/embeddings in OpenAI's shape, and /v1/rerank in that of Jina and Cohere."""

from __future__ import annotations

import base64
import struct
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from .comparing import check_number, likeness, vectors
from .errors import invalid
from .fields import Fields, passed_over
from .service import Service


class EmbeddingsRequest(Fields):
    """The body of /v1/embeddings."""

    input: str | list[str] | list[int] | list[list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    add_special_tokens: bool | None = None
    user: str | None = None  # changes nothing


class Document(Fields):
    """A text to be ordered."""

    text: str


class RerankRequest(Fields):
    """The body of /v1/rerank."""

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsRequest) -> Response:
        """A vector of length 1 for each text."""
        headers = passed_over(service, body)
        return JSONResponse(await _embedded(service, body), headers=headers)

    async def rerank(body: RerankRequest) -> Response:
        """Texts in the order in which they answer a query, the best first."""
        headers = passed_over(service, body)
        return JSONResponse(await _ranked(service, body), headers=headers)

    for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
        routes.post(path)(rerank)
    return routes


async def _embedded(service: Service, body: EmbeddingsRequest) -> dict[str, Any]:
    adapter = service.adapter_of(body.model)
    sequences = await service.in_thread(lambda: _sequences(service, body), "input")
    found = await vectors(service, sequences, adapter, "input")
    if body.dimensions is not None and body.dimensions != len(found[0]):
        message = f"this model's vectors have {len(found[0])} numbers, and mean nothing when they are cut"
        raise invalid(message, "dimensions", "unsupported_parameter")
    written: list[Any] = [_packed(vector) for vector in found] if body.encoding_format == "base64" else found
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(written)],
        "model": body.model or service.name,
        "usage": _usage(sum(map(len, sequences))),
    }


async def _ranked(service: Service, body: RerankRequest) -> dict[str, Any]:
    texts = [each if isinstance(each, str) else each.text for each in body.documents]
    check_number(texts, "documents")
    pairs = [(body.query, text) for text in texts]
    scores, tokens = await likeness(service, pairs, service.adapter_of(body.model), "documents")
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: body.top_n]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": scores[index]} for index in order]
    if body.return_documents is not False:
        results = [{**result, "document": {"text": texts[result["index"]]}} for result in results]
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "model": body.model or service.name,
        "results": results,
        "usage": _usage(tokens),
    }


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _sequences(service: Service, body: EmbeddingsRequest) -> list[list[int]]:
    """The inputs in tokens.

    Raises: ApiError for no inputs, too many, and empty ones.
    """
    given: Sequence[Any] = body.input if isinstance(body.input, list) else [body.input]
    inputs: Sequence[Any] = [given] if given and isinstance(given[0], int) else given
    check_number(inputs, "input")
    sequences = [service.tokens_of(each, body.add_special_tokens is not False, "input") for each in inputs]
    for index, sequence in enumerate(sequences):
        if not sequence:
            raise invalid(f"input {index} has no tokens", "input")
    return sequences


def _packed(vector: Sequence[float]) -> str:
    """Numbers as OpenAI packs them: fp32, the lowest byte first, in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
