"""A model that a server runs, as an engine: requests of token ids or of conversations, from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import Answer, Delta, EngineStats, LogProb, ModelHandle, Request, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine import Ledger, StreamedAnswer, check_adapter, check_alternatives, check_request
from tunesmith_library_engine.looping import TaskLoop

from .client import Client, Refused, Said
from .completing import completed, completion_fields, log_probs_of
from .conversing import CONVERSATION, SpokenAnswer, chat_fields, spoken
from .servers import SERVERS, Server
from .template import ServedTemplate

_ABSENT = frozenset({404, 405, 501})  # what a server answers that does not have a route
_VERSION = "/v1"  # under which most servers have their routes
_TOGETHER = 64  # sequences that vectors are asked for in one request


class OpenAIEngine:
    """See `tunesmith.types.Engine`. One thread has an event loop, in which each answer is a connection.

    Without a model at hand (`handle.source.address` is empty) it has a `template` of its own, with which conversations
    are sent as they are.
    """

    def __init__(
        self, client: Client, handle: ModelHandle, defaults: Sampling, *, model: str | None, server: str, most: int
    ) -> None:
        """
        Args:
            defaults: for what a request leaves open.
            model: its name at the server; None: the first that is listed.
            server: one of `SERVERS`, or auto.
            most: answers that are asked for at a time.

        Raises: TunesmithError when the server cannot be reached, or does not have the model.
        """
        self._client, self._defaults = client, defaults
        self._loop, self._ledger = TaskLoop(most), Ledger()
        self._asleep = False
        try:
            listed = self._loop.call(_listed(client))
        except BaseException:
            self._loop.close(client.close)
            raise
        entry = _entry(client, listed, model, server)
        self._model = str(entry["id"])
        self._server = _server(entry, server)
        self.context_length: int | None = entry.get("max_model_len")
        parents = {str(other["id"]): other.get("parent") for other in listed}
        self.adapters = tuple(name for name, parent in parents.items() if parent == self._model != name)
        self._tokenizer = tokenizer_of(handle.processor) if handle.source.address else None
        self.template = None if handle.source.address else ServedTemplate()
        self.end_token_ids = frozenset(end_tokens(None, self._tokenizer)) if self._tokenizer else frozenset()
        announce("engine", f"{self._model} at {client.url}", f"a server of the kind {self._server.name}")
        if self._tokenizer and not self._server.tokens:
            told = "answers come as a whole, in tokens of the tokenizer here"
            announce("tokens", told, f"a server of the kind {self._server.name} says text alone")

    def submit(self, request: Request) -> Answer:
        self._refuse_asleep()
        if self.template is not None:
            answer: StreamedAnswer = self._converse(request)
        else:
            answer = self._complete(request)
        self._ledger.follow(request, answer)
        return answer

    def _converse(self, request: Request) -> StreamedAnswer:
        if CONVERSATION not in request.inputs:
            raise self._without_tokens()
        if request.log_probs is not None:
            raise TunesmithError("tokens of conversations are not told, and so no probabilities of them")
        check_adapter(self, request.adapter)
        fields = chat_fields(self._server, request, self._defaults)
        body = {"model": request.adapter or self._model, **fields}
        return self._loop.begin(lambda: spoken(self._client, body, self._ledger.add), SpokenAnswer)

    def _complete(self, request: Request) -> StreamedAnswer:
        check_request(self, request)
        if request.inputs:
            raise TunesmithError(f"a server takes token ids here, and nothing else: not {', '.join(request.inputs)}")
        wanted = request.sampling.max_new_tokens or self._defaults.max_new_tokens or 1
        limit = min(wanted, (self.context_length or wanted + len(request.prompt)) - len(request.prompt))
        assert self._tokenizer is not None
        ends = tuple(dict.fromkeys((*request.sampling.stop_token_ids, *sorted(self.end_token_ids))))
        words = [self._tokenizer.decode([token]) for token in ends]
        fields = completion_fields(self._server, request, self._defaults, limit, words)
        body = {"model": request.adapter or self._model, **fields}
        encode = None if self._server.tokens else self._encode

        def deltas() -> AsyncGenerator[Delta, None]:
            return completed(self._client, body, request, ends, encode)

        return self._loop.begin(deltas)

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        """Those of prompts that the server repeats (`echo`).

        Raises: TunesmithError for a server that does not do that.
        """
        self._ready(adapter, sequences)
        check_alternatives(alternatives)
        if alternatives and not self._server.numbers:
            raise TunesmithError(f"a server of the kind {self._server.name} names alternatives by their text alone")
        body = {**self._server.tokens, "model": adapter or self._model, "logprobs": max(alternatives, 1)}
        body |= {"max_tokens": 1, "temperature": 0.0, "echo": True, "stream": False}
        return self._loop.call(self._together([self._scored(body, list(each), alternatives) for each in sequences]))

    async def _scored(self, body: Said, sequence: list[int], alternatives: int) -> tuple[LogProb, ...]:
        said = await self._client.post("completions", {**body, "prompt": sequence})
        choice: Said = next(iter(said.get("choices") or ()), {})
        told = choice.get("logprobs") or {}
        found = tuple(log_probs_of(told, alternatives))[: len(sequence) - 1]
        if len(found) != len(sequence) - 1:
            raise TunesmithError(
                f"{self._client.url}/completions says the probabilities of {len(found)} tokens of a prompt with "
                f"{len(sequence)}: this server does not repeat prompts (echo)"
            )
        return found

    async def _together(self, asked: list[Any]) -> list[Any]:
        """What several requests give, a few at a time."""
        places = asyncio.Semaphore(self._loop.most or 1)

        async def one(request: Any) -> Any:
            async with places:
                return await request

        return list(await asyncio.gather(*map(one, asked)))

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        """Those of the server's /embeddings.

        Raises: TunesmithError for a server that has none.
        """
        self._ready(adapter, sequences)
        body = {"model": adapter or self._model, "encoding_format": "float"}
        parts = [
            self._client.post("embeddings", {**body, "input": [list(each) for each in sequences[at : at + _TOGETHER]]})
            for at in range(0, len(sequences), _TOGETHER)
        ]
        try:
            told = self._loop.call(self._together(parts))
        except Refused as error:
            if error.status not in _ABSENT:
                raise
            raise TunesmithError(f"{self._model} at {self._client.url} has no vectors: {error}") from error
        found = [sorted(said.get("data") or (), key=lambda one: one.get("index", 0)) for said in told]
        vectors = [[float(value) for value in one["embedding"]] for part in found for one in part]
        if len(vectors) != len(sequences):
            raise TunesmithError(
                f"{self._client.url}/embeddings gave {len(vectors)} vectors for {len(sequences)} texts"
            )
        return vectors

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        raise TunesmithError(
            "the weights are the server's, and are not exchanged over this protocol.\n"
            "  engine=transformers or engine=vllm runs the model in this process"
        )

    def sleep(self) -> None:
        """Answer nothing; the accelerator is the server's, and so is its memory."""
        self._asleep = True
        self._loop.settle()

    def wake(self) -> None:
        self._asleep = False

    def stats(self) -> EngineStats:
        return self._ledger.stats(self._loop.running, self._asleep)

    def close(self) -> None:
        self._ledger.cancel_all()
        self._loop.close(self._client.close)

    def _encode(self, text: str) -> Sequence[int]:
        assert self._tokenizer is not None
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _ready(self, adapter: str | None, sequences: Sequence[Sequence[int]]) -> None:
        self._refuse_asleep()
        check_adapter(self, adapter)
        if self.template is not None:
            raise self._without_tokens()
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise TunesmithError(f"sequence {index} is empty")

    def _refuse_asleep(self) -> None:
        if self._asleep:
            raise TunesmithError("this engine sleeps; wake it first")

    def _without_tokens(self) -> TunesmithError:
        return TunesmithError(
            f"{self._model} runs at {self._client.url}, and nothing here knows its tokens: conversations can be "
            "answered, and nothing else.\n  model.path=MODEL takes the tokenizer of that model"
        )


async def _listed(client: Client) -> list[Mapping[str, Any]]:
    """What the server says of its models, under its address or `/v1` behind that; nothing where it does not tell."""
    try:
        said = await client.get("models")
    except Refused as error:
        if error.status not in _ABSENT:
            raise
        if client.url.endswith(_VERSION):
            return []
        given, client.url = client.url, client.url + _VERSION
        found = await _listed(client)
        client.url = client.url if found else given
        return found
    listed = said.get("data")
    return [item for item in listed if isinstance(item, Mapping) and "id" in item] if isinstance(listed, list) else []


def _entry(client: Client, listed: list[Mapping[str, Any]], model: str | None, server: str) -> Mapping[str, Any]:
    """What the server says of the model that is wanted.

    Raises: TunesmithError where it is not known which, or the server does not have it.
    """
    names = {str(item["id"]): item for item in listed}
    if model is None:
        found = next((item for item in listed if not item.get("parent")), None)
        if found is None:
            raise TunesmithError(
                f"{client.url}/models lists no models.\n"
                "  engine.model=NAME says what is asked; engine.base_url is the address of the routes, mostly with /v1"
            )
        return found
    if model not in names and any(_server(item, server).lists for item in listed):
        raise TunesmithError(f"{client.url} has no model {model}.\n  {choices(model, names)}")
    return names.get(model, {"id": model, **({"owned_by": listed[0].get("owned_by")} if listed else {})})


def _server(entry: Mapping[str, Any], server: str) -> Server:
    return SERVERS.get(str(entry.get("owned_by")), SERVERS["openai"]) if server == "auto" else SERVERS[server]
