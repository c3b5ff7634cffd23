"""/v1/completions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from tunesmith.types import LogProb, Piece

from .answering import Answers, Whole
from .chat_shapes import new_id, usage_of
from .completing import Completing
from .completion_fields import CompletionRequest, refuse_impossible
from .completion_shapes import Offsets, TokenTable
from .fields import StreamOptions, passed_over
from .service import Service
from .stopping import stop_reason
from .streaming import DONE, EventStream, data, unless_hung_up, with_errors


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Go on from texts or tokens, without template."""
        headers = passed_over(service, body)
        refuse_impossible(body)
        asked = Completing(service, body)
        if not body.stream:
            return await unless_hung_up(request, _whole(asked, headers))
        await unless_hung_up(request, asked.prepare())
        answers = await asked.answers() if asked.limit else None
        closed = answers.cancel if answers is not None else (lambda: None)
        return EventStream(with_errors(_events(asked, answers)), headers, closed)

    return routes


async def _whole(asked: Completing, headers: dict[str, str]) -> Response:
    await asked.prepare()
    if asked.limit == 0:
        wholes = [Whole(finish_reason="length") for _ in asked.prompts for _ in range(asked.body.count)]
        usage = _usage_of_prompts(asked)
    else:
        answers, wholes, computed = await asked.wholes()
        usage = usage_of(answers, sum(computed), 0)

    def made() -> Response:  # the log-probabilities of long prompts take time to write
        choices = [_choice(asked, index, whole) for index, whole in enumerate(wholes)]
        return JSONResponse({**_base(asked), "choices": choices, "usage": usage}, headers=headers)

    return await asked.service.in_thread(made)


def _choice(asked: Completing, index: int, whole: Whole) -> dict[str, Any]:
    choice = _Choice(asked, index)
    text, tables = choice.echoed()
    tables += choice.table(whole.token_ids, whole.log_probs)
    return choice.made(text + whole.text, tables, whole.finish_reason, whole.token_ids, whole.stopped_by)


async def _events(asked: Completing, answers: Answers | None) -> AsyncIterator[bytes]:
    base, options = _base(asked), asked.body.stream_options or StreamOptions()
    if options.include_usage:
        base["usage"] = None  # but in the last one
    choices = [_Choice(asked, index) for index in range(len(asked.prompts) * asked.body.count)]
    for choice in choices:
        text, tables = choice.echoed()
        reason = None if answers is not None else "length"
        if text or tables or reason:
            yield data({**base, "choices": [choice.made(text, tables, reason)]})
    tokens, usage = 0, _usage_of_prompts(asked)
    if answers is not None:
        async for piece in answers:
            tokens += piece.num_tokens
            usage = usage_of(answers, tokens, 0)
            counted = {"usage": usage} if options.continuous_usage_stats else {}
            yield data({**base, **counted, "choices": [_said(answers, choices[piece.index], piece)]})
    if options.include_usage:
        yield data({**base, "choices": [], "usage": usage})
    yield DONE


def _said(answers: Answers, choice: _Choice, piece: Piece) -> dict[str, Any]:
    table = choice.table(piece.token_ids, piece.log_probs)
    found = answers.stopped_by.get(piece.index)
    return choice.made(piece.text, table, piece.finish_reason, piece.token_ids, found)


class _Choice:
    """One answer, whole or while it comes."""

    def __init__(self, asked: Completing, index: int) -> None:
        self._index, self._words = index, asked.words
        self._service, self._body = asked.service, asked.body
        self._numbered = bool(asked.body.return_token_ids)
        self._log_probs = asked.body.logprobs is not None
        place = index // asked.body.count
        self._echo = asked.echoes[place] if asked.echoes else None
        plain = asked.body.skip_special_tokens is False
        skipped = frozenset[int]() if plain else asked.service.special_token_ids
        start = len(self._echo.text) if self._echo else 0
        self._offsets = Offsets(asked.service, start, asked.prompts[place][-8:], skipped)

    def echoed(self) -> tuple[str, list[TokenTable]]:
        """The prompt, if it stands before the answer."""
        if self._echo is None:
            return "", []
        return self._echo.text, [self._echo.log_probs] if self._echo.log_probs else []

    def table(self, tokens: Sequence[int], log_probs: Sequence[LogProb]) -> list[TokenTable]:
        """The log-probabilities of new tokens, if they are asked for."""
        if not self._log_probs or not tokens:
            return []
        table = TokenTable()
        for token, found, start in zip(tokens, log_probs, self._offsets.of(tokens)[0], strict=False):
            table.add(self._words, token, found, start)
        return [table]

    def made(
        self,
        text: str,
        tables: Sequence[TokenTable],
        reason: str | None,
        tokens: Sequence[int] = (),
        stopped_by: str | None = None,
    ) -> dict[str, Any]:
        """As it is sent; `stopped_by` is of `Answers`."""
        found: dict[str, list[Any]] | None = None
        for table in tables:
            more = table.made()
            found = more if found is None else {name: [*found[name], *more[name]] for name in found}
        stopped = stop_reason(self._service, self._body, reason, stopped_by, tokens)
        said = {"index": self._index, "text": text, "logprobs": found, "finish_reason": reason, "stop_reason": stopped}
        return {**said, "token_ids": list(tokens)} if self._numbered else said


def _base(asked: Completing) -> dict[str, Any]:
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(asked.service.clock()),
        "model": asked.body.model or asked.service.name,
        "system_fingerprint": None,
    }


def _usage_of_prompts(asked: Completing) -> dict[str, Any]:
    """Usage where nothing is answered."""
    tokens = sum(map(len, asked.prompts))
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
