"""What all routes share: a model with its template, answering in an event loop."""

from __future__ import annotations

import asyncio
import functools
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import Answer, Conversation, Engine, LogProb, ModelHandle, Request, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.decoding import decoder_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_chat.reading import Reading, reading_of
from tunesmith_library_engine import submit_all

from .answering import Answers, Watcher
from .budgets import Budget
from .errors import ApiError, invalid
from .limits import Places, check_messages, check_tokens
from .log_probs import Words
from .mailbox import Mailbox
from .metrics import Metrics
from .options import ServerOptions
from .prompting import Ending, reading_for, request_of
from .showing import with_media

T = TypeVar("T")

_BASE = "base"  # what engines call a model without its adapter

_THREADS = 4  # that render, tokenise and compile grammars
_WAITING = 16  # that wait for what the engine computes besides answers, and take no time themselves


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
        self.places = Places(self.options.max_queue, lambda: self.engine.stats().waiting)
        self.metrics = Metrics(self.places, lambda: self.engine.stats())
        self.watchers: list[Watcher] = [self.metrics.watch]
        self.name = self.options.model_name or run or name_of(handle.source.address)
        self._published = run is None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="serving")
        self._waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="waiting")
        self._mailbox: Mailbox | None = None
        self._open: weakref.WeakSet[Answers] = weakref.WeakSet()  # answers that somebody waits for

    @functools.cached_property
    def vocabulary(self) -> int:
        """How many tokens the tokenizer has."""
        return len(self.tokenizer)

    @functools.cached_property
    def end_token_ids(self) -> frozenset[int]:
        """The tokens that end an answer by themselves: the engine's, and the template's."""
        return self.engine.end_token_ids | frozenset(end_tokens(self.template, self.tokenizer))

    @functools.cached_property
    def special_token_ids(self) -> frozenset[int]:
        """The tokens that are left out of texts, unless a request wants them."""
        return frozenset(self.tokenizer.all_special_ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return decoder_of(self.tokenizer)(list(token_ids))

    def tokens_of(self, text: str | Sequence[int], add_special_tokens: bool, param: str = "prompt") -> list[int]:
        """The tokens of a plain text, or those that were given; for long texts not in an event loop.

        Raises: ApiError for numbers that are no tokens.
        """
        if isinstance(text, str):
            return list(self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
        for token in text:
            if not 0 <= token < self.vocabulary:
                raise invalid(f"{token} is no token; possible: 0 to {self.vocabulary - 1}", param)
        return list(text)

    # ---- which model

    @property
    def models(self) -> dict[str, str | None]:
        """The names that a request may have in `model`, with the adapter of the engine that each chooses."""
        others = {name: name for name in self.engine.adapters if name != self.name}
        return {self.name: None, **others}

    def adapter_of(self, model: str | None) -> str | None:
        """The adapter that a request wants; without `model` none.

        Raises: ApiError for a name that is not served.
        """
        if model is None:
            return None
        if model == self.handle.source.address and model not in self.models:
            if self._published:
                return None
            if self.handle.adapter is not None and _BASE in self.engine.adapters:
                return _BASE
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
        single_call: bool = False,
        thinking_tokens: int | None = None,
    ) -> Answers:
        """Begin to answer a conversation.

        Args:
            n: how many answers; the seed counts up from one to the next.
            stop: strings that end an answer, beside the template's.
            log_probs: as `Request.log_probs`.
            single_call: an answer ends with its first call of a tool.
            thinking_tokens: how many tokens of thought an answer may have; see `Budget`.

        Raises: ApiError for what cannot be answered.
        """

        def prepare() -> tuple[Request, Reading]:
            how = (self.template, self.processor, conversation)
            request = request_of(*how, sampling or Sampling(), stop, ending)
            return request, reading_for(*how, stop, ending, skip_special_tokens)

        check_messages(len(conversation.messages), self.options)
        conversation = await with_media(conversation, self.processor, self.options)
        request, reading = await self.in_thread(prepare, "messages")
        asked = [replace(request, adapter=adapter, log_probs=log_probs)]
        how = {"goes_on": ending != "prompt", "single_call": single_call}
        return await self._begun(asked, n, reading, "messages", self._limited(thinking_tokens), **how)

    def _limited(self, thinking_tokens: int | None) -> Any:
        """What begins answers: the engine, where thoughts have no limit."""
        if thinking_tokens is None or self.template.thinking is None:
            return self.engine
        return Budget(thinking_tokens, self.template.thinking, self.tokenizer).over(self.engine)

    async def prompt(self, conversation: Conversation, ending: Ending = "prompt") -> list[int]:
        """The tokens that an answer to a conversation goes on from.

        Raises: ApiError.
        """
        conversation = await with_media(conversation, self.processor, self.options)
        how = (self.template, self.processor, conversation, Sampling(), (), ending)
        request = await self.in_thread(lambda: request_of(*how), "messages")
        return list(request.prompt)

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
        ends = end_tokens(None, self.tokenizer, stop=stop)
        wanted = replace(wanted, stop_token_ids=tuple(dict.fromkeys((*wanted.stop_token_ids, *ends))))
        requests = [Request(prompt, wanted, adapter, log_probs) for prompt in prompts]
        reading = reading_of(self.processor, tuple(stop), skip_special_tokens)
        return await self._begun(requests, n, reading, "prompt", self.engine, goes_on=True)

    async def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        """`Engine.score`, without blocking the loop."""
        work = functools.partial(self.engine.score, sequences, alternatives=alternatives, adapter=adapter)
        return await self.in_engine(work, "prompt")

    async def in_thread(self, work: Callable[[], T], param: str | None = None) -> T:
        """Do what takes time beside the event loop.

        Raises: ApiError about the field `param` for a TunesmithError.
        """
        return await self._in(self._threads, work, param)

    async def in_engine(self, work: Callable[[], T], param: str | None = None) -> T:
        """The same for what waits for the engine, so that it keeps nobody from being begun."""
        return await self._in(self._waiting, work, param)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], T], param: str | None) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except TunesmithError as error:
            raise invalid(error, param) from error

    async def _begun(
        self, requests: Sequence[Request], n: int, reading: Reading, param: str, engine: Any, **how: bool
    ) -> Answers:
        asked = [_seeded(request, number) for request in requests for number in range(n)]
        limit = self.engine.context_length
        for request in requests:
            self._check_room(len(request.prompt), limit, param)
            check_tokens(request.sampling, self.options)

        submitting = asyncio.ensure_future(self.in_thread(lambda: submit_all(engine, asked), param))
        try:
            begun = await asyncio.shield(submitting)
        except asyncio.CancelledError:  # the client is gone, and the thread goes on
            submitting.add_done_callback(_cancel_all)
            raise
        answers = Answers(asked, begun, reading, self._box(), self.watchers, self.options.timeout, **how)
        self._open.add(answers)
        return answers

    @staticmethod
    def _check_room(tokens: int, limit: int | None, param: str) -> None:
        if limit is not None and tokens >= limit:
            message = f"the prompt has {tokens} tokens; the model's context ends at {limit}, and an answer needs room"
            raise invalid(message, param, "context_length_exceeded")

    def _box(self) -> Mailbox:
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        return self._mailbox

    def end_answers(self) -> None:
        """End all answers where they are; who waits for one is told that the server stops."""
        for answers in list(self._open):
            answers.cancel()

    def close(self) -> None:
        """End all answers, and let the model go."""
        self.engine.close()
        for threads in (self._threads, self._waiting):
            threads.shutdown(wait=False, cancel_futures=True)


def name_of(address: str) -> str:
    """A model by its address; of a folder on this disk, which is nobody's business, by its name."""
    return Path(address).resolve().name if Path(address).exists() else address


def _seeded(request: Request, number: int) -> Request:
    seed = request.sampling.seed
    if seed is None or number == 0:
        return request
    return replace(request, sampling=replace(request.sampling, seed=seed + number))


def _cancel_all(submitting: asyncio.Future[list[Answer]]) -> None:
    """Cancel answers that were begun for nobody."""
    if not submitting.cancelled() and submitting.exception() is None:
        for answer in submitting.result():
            answer.cancel()
