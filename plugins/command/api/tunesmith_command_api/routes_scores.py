"""/score as vLLM has it, and /v1/score/evaluation, by which LLaMA-Factory's PPO asks a reward model."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from .chat_asking import conversation_of
from .chat_fields import ChatMessage, ChatRequest
from .comparing import check_number, judge_of, judged, likeness
from .errors import invalid
from .fields import Fields, passed_over
from .scoring import ScoringEngine
from .service import Service

Texts = str | list[str]

_ANY = "model"  # what LLaMA-Factory's PPO calls every model that it asks for scores


class ScoreRequest(Fields):
    """The body of /score: pairs of texts, under either pair of names."""

    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    model: str | None = None


class EvaluationRequest(Fields):
    """The body of /v1/score/evaluation: `messages`, or what `reward=http` sends."""

    # texts as a template has written them, one conversation, or several
    messages: list[str] | list[ChatMessage] | list[list[ChatMessage]] | None = None
    prompts: list[list[ChatMessage]] | None = None
    completions: list[str] | None = None  # the answer to each prompt
    rows: list[Any] | None = None  # of the data that they are from; change nothing
    model: str | None = None
    max_length: Annotated[int, Field(ge=1)] | None = None


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    async def score(body: ScoreRequest) -> Response:
        """How well the texts of each pair go together."""
        headers = passed_over(service, body)
        pairs = _pairs(body)
        scores, tokens = await likeness(service, pairs, service.adapter_of(body.model), "text_2")
        made = {
            "id": f"score-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(service.clock()),
            "model": body.model or service.name,
            "data": [{"index": index, "object": "score", "score": value} for index, value in enumerate(scores)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        }
        return JSONResponse(made, headers=headers)

    for path in ("/score", "/v1/score"):
        routes.post(path)(score)

    @routes.post("/v1/score/evaluation")
    async def evaluation(body: EvaluationRequest) -> Response:
        """What a reward model makes of texts."""
        headers = passed_over(service, body)
        judge = judge_of(service)
        if judge is None:
            raise invalid("this model writes text and gives no scores; serve a run of stage=reward", "model")
        if body.model != _ANY:
            service.adapter_of(body.model)
        given = _given(body)
        sequences = await service.in_thread(lambda: _sequences(service, judge, given), "messages")
        scores = await judged(service, judge, sequences, "messages", body.max_length)
        made = {
            "id": f"scoreval-{uuid.uuid4().hex}",
            "object": "score.evaluation",
            "model": body.model or service.name,
            "scores": scores,
        }
        return JSONResponse(made, headers=headers)

    return routes


def _given(body: EvaluationRequest) -> Sequence[Any]:
    """Texts, messages of one conversation, or conversations.

    Raises: ApiError for none, too many, and prompts without answers.
    """
    if body.messages is not None and body.prompts is None:
        check_number(body.messages, "messages")
        return body.messages
    if body.messages is not None or body.prompts is None:
        raise invalid("either messages are needed, or prompts with completions", "messages")
    check_number(body.prompts, "prompts")
    answers = body.completions or []
    if len(answers) != len(body.prompts):
        raise invalid(f"there are {len(answers)} completions to {len(body.prompts)} prompts", "completions")
    said = [ChatMessage(role="assistant", content=answer) for answer in answers]
    return [[*prompt, answer] for prompt, answer in zip(body.prompts, said, strict=True)]


def _pairs(body: ScoreRequest) -> list[tuple[str, str]]:
    """Each of the first with its second; one first goes with all seconds.

    Raises: ApiError for what makes no pairs.
    """
    named = [("text_1", body.text_1, "text_2", body.text_2), ("queries", body.queries, "documents", body.documents)]
    given = [each for each in named if each[1] is not None or each[3] is not None]
    if len(given) != 1 or given[0][1] is None or given[0][3] is None:
        raise invalid("text_1 and text_2 are needed, or queries and documents", "text_1")
    name, first, other_name, second = given[0]
    ones, others = _listed(first), _listed(second)
    check_number(ones, name)
    check_number(others, other_name)
    if len(ones) == 1:
        ones *= len(others)
    if len(ones) != len(others):
        raise invalid(f"{len(ones)} texts in {name} make no pairs with {len(others)} in {other_name}", other_name)
    return list(zip(ones, others, strict=True))


def _listed(texts: Texts | None) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts or ())


def _sequences(service: Service, judge: ScoringEngine, given: Sequence[Any]) -> list[list[int]]:
    """Texts and conversations in tokens; a text has the control tokens that it spells."""
    if isinstance(given[0], str):
        return [service.tokens_of(text, False) for text in given]
    conversations: Sequence[Any] = given if isinstance(given[0], list) else [given]
    asked = [ChatRequest(messages=list(conversation)) for conversation in conversations]
    return judge.tokens([list(conversation_of(each, service.template).messages) for each in asked])
