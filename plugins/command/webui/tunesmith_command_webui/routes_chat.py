"""Chat: models that are loaded, what they answer, conversations that are kept, votes, and rows of training data."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from tunesmith_library_studio import Studio

_MOST_MEDIA = 20 * 2**20  # bytes of an image, sound or video, as `tunesmith api` has it


class Loading(BaseModel):
    """A model that is to be loaded."""

    source: str = Field(description="a run, a checkpoint, an export, an adapter, a folder, or an address on a hub")
    overrides: dict[str, Any] = Field({}, description='of its configuration: {"engine": "vllm", "adapter.path": "…"}')
    device: str | None = Field(None, description="number of a GPU, or cpu; the machine's choice by default")
    anyway: bool = Field(False, description="load it where the plan says that it does not fit")


class Vote(BaseModel):
    """Which of two answers was better."""

    left: str = Field(description="the one model, by its source")
    right: str = Field(description="the other one")
    winner: Literal["left", "right", "tie", "neither"]
    blind: bool = Field(False, description="whether their names were hidden")
    messages: list[dict[str, Any]] = Field([], description="what both were asked")
    answers: list[str] = Field([], max_length=2, description="what they said, the left one's first")


class SavedRow(BaseModel):
    """A conversation that becomes a row of training data."""

    file: str = Field(description="a data file (.jsonl) in the workspace; made where it is not there")
    messages: list[dict[str, Any]] = Field(description="in OpenAI's shape, the answer last")
    tools: list[dict[str, Any]] = Field([], description="functions that could be called")
    good: bool | None = Field(None, description="whether the answer was good: a row for KTO")
    rejected: list[dict[str, Any]] = Field([], description="a worse answer in the place of the last: a row for DPO")


class Conversation(BaseModel):
    """A tree of messages; other fields are kept as they are."""

    model_config = ConfigDict(extra="allow")
    id: str | None = None
    revision: int | None = Field(None, description="that of the one that was read; another one is a conflict (409)")
    title: str = ""
    nodes: list[dict[str, Any]] = Field(description="messages with `id` and `parent`, parents first")
    leaf: str | None = Field(None, description="the last message of the branch that is shown")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["chat"])
    _models(routes, studio)
    _answers(routes, studio)
    _conversations(routes, studio)
    _media(routes, studio)
    _judgements(routes, studio)
    return routes


def _models(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/chats/models")
    def models() -> dict[str, Any]:
        """Models that are loaded, being loaded, or lately failed: `items` of `Loaded` (see `POST`)."""
        return {"items": [dataclasses.asdict(each) for each in studio.chats.list()]}

    @routes.post("/chats/models", status_code=202)
    def load(wanted: Loading) -> dict[str, Any]:
        """Begin to load a model. The topic `chats` tells how that goes on.

        Gives `id`, `source`, `state` (planning, loading, ready, failed, unloaded), `why`, `name`, `template`,
        `context_length`, `can` (answers, media, tools, reasoning, switches_thinking), `memory` in bytes by the plan.
        """
        made = studio.chats.load(wanted.source, wanted.overrides, wanted.device, anyway=wanted.anyway)
        return dataclasses.asdict(made)

    @routes.delete("/chats/models/{id}", status_code=204)
    def unload(id: str) -> None:
        """Unload a model; answers that it writes end."""
        studio.chats.unload(id)

    @routes.get("/chats/models/{id}/log", response_class=PlainTextResponse)
    def log(id: str) -> PlainTextResponse:
        """The log of a model's server, its last 64 KiB."""
        file = studio.chats.served(id).log
        text = file.read_bytes()[-65_536:].decode("utf-8", "replace") if file.is_file() else ""
        return PlainTextResponse(text)


def _answers(routes: APIRouter, studio: Studio) -> None:
    @routes.post("/chats/{id}/messages")
    async def messages(id: str, request: Request) -> Response:
        """A request of OpenAI's chat completions, passed on to the model's own server, and its answer passed back.

        With `stream: true` come server-sent events, as they are written. Whoever hangs up ends the answer. Addresses
        `media:…` stand for files of `POST /chats/media`.
        """
        coming = studio.chats.ask(id, await request.body())
        first = asyncio.ensure_future(anext(coming))
        leaving = asyncio.ensure_future(_left(request))
        await asyncio.wait([first, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not first.done():
            first.cancel()
            return Response(status_code=499)  # nobody reads it
        status, kind, _ = first.result()
        return StreamingResponse(_pieces(coming), status, media_type=kind, headers={"X-Accel-Buffering": "no"})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _pieces(coming: AsyncIterator[tuple[int, str, bytes]]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(coming):  # type: ignore[type-var]
        async for _, _, piece in coming:
            yield piece


def _conversations(routes: APIRouter, studio: Studio) -> None:
    from tunesmith_library_studio.chats.conversations import Changed, as_markdown

    @routes.get("/chats/conversations")
    def conversations(
        search: Annotated[str, Query(description="words of the title or of messages")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Conversations that are kept, the newest first: `items` with `id`, `title`, `changed`, `messages`; `total`."""
        return studio.chats.conversations.list(search, offset, limit)

    @routes.post("/chats/conversations")
    def save(conversation: Conversation) -> dict[str, Any]:
        """Keep a conversation: a new one without `id`, else in the place of the one with its `revision`.

        Gives it back without its messages. 409 where another window kept one since.
        """
        try:
            return studio.chats.conversations.save(conversation.model_dump())
        except Changed as error:
            raise HTTPException(409, str(error)) from error

    @routes.get("/chats/conversations/{id}")
    def conversation(id: str) -> dict[str, Any]:
        """One conversation with all its branches."""
        return studio.chats.conversations.get(id)

    @routes.get("/chats/conversations/{id}/markdown", response_class=PlainTextResponse)
    def markdown(id: str) -> PlainTextResponse:
        """The branch that is shown, as Markdown."""
        return PlainTextResponse(as_markdown(studio.chats.conversations.get(id)), media_type="text/markdown")

    @routes.delete("/chats/conversations/{id}", status_code=204)
    def remove(id: str) -> None:
        """Forget a conversation."""
        studio.chats.conversations.remove(id)


def _media(routes: APIRouter, studio: Studio) -> None:
    @routes.post("/chats/media")
    def keep(data: Annotated[bytes, Body(media_type="application/octet-stream")], request: Request) -> dict[str, str]:
        """Keep an image, sound or video, which is the body: its `address` stands for it in messages."""
        if len(data) > _MOST_MEDIA:
            raise HTTPException(413, f"{len(data):,} bytes are too many; possible: {_MOST_MEDIA:,}")
        return {"address": studio.chats.media.keep(data, request.headers.get("content-type", ""))}

    @routes.get("/chats/media/{name}")
    def media(name: str) -> FileResponse:
        """Such a file, to be shown."""
        file: Path = studio.chats.media.file(name)
        return FileResponse(file, media_type=studio.chats.media.type_of(file))


def _judgements(routes: APIRouter, studio: Studio) -> None:
    from tunesmith_library_studio.chats.rows import row_of

    @routes.post("/chats/votes")
    def vote(given: Vote) -> dict[str, Any]:
        """Keep a vote."""
        return studio.chats.votes.add(**given.model_dump())

    @routes.get("/chats/votes")
    def votes(blind: Annotated[bool, Query(description="only those with names hidden")] = False) -> dict[str, Any]:
        """How models stand against each other: `items` with `first`, `second`, `votes`, `wins`, `losses`, `ties`,
        `neither`, `rate` of wins of the first with `low` and `high` (95 %), `p` of the sign test."""
        return {"items": studio.chats.votes.table(blind=blind)}

    @routes.post("/chats/rows")
    def save_row(given: SavedRow) -> dict[str, Any]:
        """Append a conversation to a data file as a `row` in the format `openai`; `rows` is how many it has then."""
        row = row_of(given.messages, studio.chats.media, tools=given.tools, good=given.good, rejected=given.rejected)
        return {"row": row, "rows": studio.data.append(given.file, row)}
