"""What all routes share: a model with its template, answering in an event loop."""

from __future__ import annotations

import asyncio
import copy
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from tunesmith.errors import DataError, TunesmithError, choices
from tunesmith.types import Conversation, Engine, LogProb, ModelHandle, Request, Sampling
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_chat.reading import Reading, reading_of

from .answering import Answers, Watcher
from .errors import ApiError, invalid
from .log_probs import Words
from .mailbox import Mailbox
from .options import ServerOptions

T = TypeVar("T")

Ending = Literal["prompt", "continue", "none"]
"""How a conversation ends as a prompt: with what precedes an answer, inside its last message, or as it is."""

_THREADS = 4  # that render, tokenise and score


class Service:
    """A model that is served. Its coroutines belong to one event loop; what takes time is done in threads."""

    def __init__(
        self, handle: ModelHandle, engine: Engine, options: ServerOptions | None = None, *, run: str | None = None
    ) -> None:
        """
        Args:
            run: the name of the run that the model is of; None: it is as it was published.
        """
        self.handle, self.engine = handle, engine
        self.options = options or ServerOptions()
        self.template: Any = handle.template
        self.processor = handle.processor
        self.tokenizer = tokenizer_of(handle.processor)
        self.words = Words(self.tokenizer)
        self.clock: Callable[[], float] = time.time
        self.started = int(self.clock())
        self.watchers: list[Watcher] = []
        self.name = self.options.model_name or run or _name_of(handle)
        self._published = run is None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="serving")
        self._mailbox: Mailbox | None = None

    # ---- which model

    @property
    def models(self) -> dict[str, str | None]:
        """The names that a request may have in `model`, with the adapter of the engine that each chooses."""
        return {self.name: None, **{name: name for name in self.engine.adapters}}

    def adapter_of(self, model: str | None) -> str | None:
        """The adapter that a request wants; without `model` none.

        Raises: ApiError for a name that is not served.
        """
        if model is None or (self._published and model == self.handle.source.address):
            return None
        if model not in self.models:
            message = f"the model {model!r} does not exist.\n{choices(model, self.models, 'served')}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.models[model]

    # ---- answers

    async def answers(
        self,
        conversation: Conversation,
        sampling: Sampling | None = None,
        *,
        n: int = 1,
        stop: Sequence[str] = (),
        adapter: str | None = None,
        log_probs: int | None = None,
        ending: Ending = "prompt",
        skip_special_tokens: bool = True,
    ) -> Answers:
        """Begin to answer a conversation.

        Args:
            n: how many answers; the seed counts up from one to the next.
            stop: strings that end an answer, beside the template's.
            log_probs: as `Request.log_probs`.

        Raises: ApiError for what cannot be answered.
        """

        def prepare() -> tuple[Request, Reading]:
            request = self._request(conversation, sampling or Sampling(), stop, ending)
            strings = tuple(dict.fromkeys((*self.template.stop, *stop)))
            split = self.template.reader(conversation)
            copies = functools.partial(copy.deepcopy, split)  # one rendering for all answers
            return request, reading_of(self.processor, strings, skip_special_tokens, copies)

        request, reading = await self.in_thread(prepare, "messages")
        return await self._begun([replace(request, adapter=adapter, log_probs=log_probs)], n, reading, "messages")

    async def completions(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling | None = None,
        *,
        n: int = 1,
        stop: Sequence[str] = (),
        adapter: str | None = None,
        log_probs: int | None = None,
        skip_special_tokens: bool = True,
    ) -> Answers:
        """Begin to go on from token ids, without template; the answers of a prompt stand together.

        Raises: ApiError, as `answers` does.
        """
        wanted = sampling or Sampling()
        wanted = replace(wanted, stop_token_ids=tuple(dict.fromkeys((*wanted.stop_token_ids, *self._ends(None, stop)))))
        requests = [Request(prompt, wanted, adapter, log_probs) for prompt in prompts]
        return await self._begun(requests, n, reading_of(self.processor, tuple(stop), skip_special_tokens), "prompt")

    async def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        """`Engine.score`, without blocking the loop."""
        work = functools.partial(self.engine.score, sequences, alternatives=alternatives, adapter=adapter)
        return await self.in_thread(work, "prompt")

    async def in_thread(self, work: Callable[[], T], param: str | None = None) -> T:
        """Do what takes time beside the event loop.

        Raises: ApiError about the field `param` for a TunesmithError.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TunesmithError as error:
            raise invalid(error, param) from error

    async def _begun(self, requests: Sequence[Request], n: int, reading: Reading, param: str) -> Answers:
        asked = [_seeded(request, number) for request in requests for number in range(n)]
        limit = self.engine.context_length
        for request in requests:
            self._check_room(len(request.prompt), limit, param)

        def submit() -> list[Any]:
            begun: list[Any] = []
            try:
                for request in asked:
                    begun.append(self.engine.submit(request))
            except BaseException:
                for answer in begun:
                    answer.cancel()
                raise
            return begun

        begun = await self.in_thread(submit, param)
        return Answers(asked, begun, reading, self._box(), self.watchers)

    @staticmethod
    def _check_room(tokens: int, limit: int | None, param: str) -> None:
        if limit is not None and tokens >= limit:
            message = f"the prompt has {tokens} tokens; the model's context ends at {limit}, and an answer needs room"
            raise invalid(message, param, "context_length_exceeded")

    def _request(self, conversation: Conversation, sampling: Sampling, stop: Sequence[str], ending: Ending) -> Request:
        template: ChatTemplate = self.template
        if ending == "prompt":
            return template.request(self.processor, conversation, sampling, stop=stop)
        how: Mapping[str, Any] = {"continue_final_message": ending == "continue", **conversation.variables}
        rendered = template.render(conversation.messages, conversation.tools, **how)
        prompt = list(tokenize(self.tokenizer, [rendered], control=template.control)[0].ids)
        if not prompt:
            raise DataError(f"template {template.name} renders this conversation to no text at all")
        ends = tuple(dict.fromkeys((*sampling.stop_token_ids, *self._ends(template, stop))))
        return Request(prompt, replace(sampling, stop_token_ids=ends))

    def _ends(self, template: Any, stop: Sequence[str]) -> list[int]:
        return end_tokens(template, self.tokenizer, stop=stop)

    def _box(self) -> Mailbox:
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        return self._mailbox

    def close(self) -> None:
        """End all answers, and let the model go."""
        self.engine.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _name_of(handle: ModelHandle) -> str:
    """A model by its address; of a folder on this disk, which is nobody's business, by its name."""
    address = handle.source.address
    return Path(address).resolve().name if Path(address).exists() else address


def _seeded(request: Request, number: int) -> Request:
    seed = request.sampling.seed
    if seed is None or number == 0:
        return request
    return replace(request, sampling=replace(request.sampling, seed=seed + number))
