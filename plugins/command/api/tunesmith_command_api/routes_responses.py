"""/v1/responses: answers that the server remembers, in the words of OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from .answering import Answers
from .chat_fields import ChatRequest
from .chat_shapes import new_id
from .constraining import grammar_of
from .errors import ApiError, invalid
from .fields import passed_over
from .responses_asking import LOG_PROBS, conversation_of, items_of, refuse_impossible, text_grammar, tools_of
from .responses_fields import ResponsesRequest
from .responses_shapes import Building, encoded
from .responses_store import Store, Stored
from .sampling_fields import sampling_of
from .service import Service
from .streaming import EventStream, unless_hung_up, with_errors
from .tool_choices import choice_of


def router(service: Service) -> APIRouter:
    """The routes."""
    routes, store = APIRouter(), Store(service.options.max_stored_responses)

    @routes.post("/v1/responses")
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        """Answer text or items, or go on from an earlier response."""
        headers = passed_over(service, body)
        if body.stream:
            begun = await _asked(service, store, body)
            events = with_errors(begun.events(), lambda error: encoded(begun.failed(error)))
            return EventStream(events, headers, begun.close)

        async def whole() -> dict[str, Any]:
            begun = await _asked(service, store, body)
            try:
                async for _ in begun.events():
                    pass
            except Exception:  # whose client hears of it, and of no name that it could ask for
                store.drop(begun.stored)
                raise
            finally:
                begun.close()
            return begun.stored.response

        return JSONResponse(await unless_hung_up(request, whole()), headers=headers)

    @routes.get("/v1/responses/{response_id}")
    async def response(response_id: str, stream: bool = False) -> dict[str, Any]:
        """A response that is kept."""
        if stream:
            raise invalid("a response is streamed while it is made; here it is whole", "stream")
        return store.get(response_id).response

    @routes.delete("/v1/responses/{response_id}")
    async def delete(response_id: str) -> dict[str, Any]:
        """Forget a response; one that is being made ends."""
        store.delete(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    @routes.post("/v1/responses/{response_id}/cancel")
    async def cancel(response_id: str) -> dict[str, Any]:
        """End a response that is being made; one that has ended stays as it is."""
        stored = store.get(response_id)
        if stored.answers is None:
            return stored.response
        stored.cancelled = True
        stored.answers.cut()
        return {**stored.response, "status": "cancelled"}

    @routes.get("/v1/responses/{response_id}/input_items")
    async def input_items(
        response_id: str,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> dict[str, Any]:
        """What a response answers."""
        items = store.get(response_id).given
        return _page(items if order == "asc" else items[::-1], after, limit)

    return routes


@dataclass
class _Begun:
    """A response that is being made, and where it is kept."""

    building: Building
    stored: Stored
    answers: Answers
    keep: Callable[[Stored], None]

    async def events(self) -> AsyncIterator[bytes]:
        """The events, which make the response."""
        for event in self.building.first():
            yield encoded(event)
        async for piece in self.answers:
            for event in self.building.of(piece):
                yield encoded(event)
        self.stored.answers = None
        yield encoded(self.building.last(self.stored.cancelled))

    def failed(self, error: ApiError) -> dict[str, Any]:
        """The event of an error."""
        self.stored.answers = None
        return self.building.failed(error)

    def close(self) -> None:
        """Keep what there is; a response that nobody waits for any more ends where it is."""
        self.answers.cancel()
        self.stored.answers = None
        if self.stored.response["status"] == "in_progress":
            self.stored.response["status"] = "cancelled"
        self.keep(self.stored)


async def _asked(service: Service, store: Store, body: ResponsesRequest) -> _Begun:
    """Begin to answer. Raises: ApiError."""
    refuse_impossible(body)
    adapter = service.adapter_of(body.model)
    own = _own(store, body)
    before = store.before(body.previous_response_id).items if body.previous_response_id else []
    names = [tool["function"]["name"] for tool in tools_of(body)]
    choice, allowed = choice_of(ChatRequest.model_construct(tool_choice=body.tool_choice), names)
    conversation = conversation_of(body, [*before, *own], () if choice == "none" else allowed, service)
    parallel = body.parallel_tool_calls is not False
    grammar = await grammar_of(service, conversation, choice, parallel=parallel, text=lambda: text_grammar(body))
    limit = body.max_tokens if body.max_output_tokens is None else body.max_output_tokens
    answers = await service.answers(
        conversation,
        replace(sampling_of(body, limit or None, service), grammar=grammar),
        stop=body.stops,
        adapter=adapter,
        log_probs=(body.top_logprobs or 0) if LOG_PROBS in (body.include or ()) else None,
        skip_special_tokens=body.skip_special_tokens is not False,
        single_call=not parallel,
    )
    building = Building(service, body, answers)
    stored = Stored(building.response, [*before, *own], own, answers)
    kept = body.store is not False
    if kept:
        store.put(stored)
    return _Begun(building, stored, answers, store.renew if kept else lambda stored: None)


def _own(store: Store, body: ResponsesRequest) -> list[dict[str, Any]]:
    """The items that came with a request, each with an id; those that are named only are looked up."""
    items = []
    for index, item in enumerate(items_of(body)):
        if item.get("type") == "item_reference":
            items.append(store.item(item.get("id"), f"input[{index}]"))
        else:
            kind = item.setdefault("type", "message")
            items.append({"id": new_id(_PREFIXES.get(kind, "item_")), **item})
    return items


_PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_"}


def _page(items: list[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """Some of a list, as OpenAI's API has lists."""
    places = [place for place, item in enumerate(items) if item["id"] == after]
    if after is not None and not places:
        raise invalid(f"after: there is no item {after!r}", "after")
    rest = items[places[0] + 1 :] if places else items
    shown = rest[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rest) > limit,
    }
