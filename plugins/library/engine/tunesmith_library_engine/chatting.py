"""A model and its template, answering: between conversations and an engine that knows only tokens."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from tunesmith.errors import TunesmithError
from tunesmith.types import Answer, ChatTemplate, Conversation, Engine, Message, ModelHandle, Piece, Request, Sampling
from tunesmith_library_formats.json_text import half_pair

from tunesmith_library_engine.together import submit_all


class Chat:
    """Answers conversations with a model that is loaded at the first of them."""

    def __init__(self, handle: ModelHandle, open_engine: Callable[..., Engine]) -> None:
        """
        Args:
            open_engine: the hook.
        """
        self._handle, self._open = handle, open_engine
        self._engine: Engine | None = None
        self._closing: Callable[[], object]  # once
        self._opening = threading.Lock()

    @property
    def handle(self) -> ModelHandle:
        """What is answered with, loaded or not."""
        return self._handle

    @property
    def engine(self) -> Engine:
        """What answers: the model, loaded when it is first asked for."""
        with self._opening:
            if self._engine is None:
                self._engine = self._open(handle=self._handle)
                self._closing = weakref.finalize(self, self._engine.close)
            return self._engine

    def load(self) -> None:
        """Load the model, if nothing was asked yet."""
        _ = self.engine

    def answer(
        self,
        conversations: Sequence[Conversation | Sequence[Message]],
        sampling: Sampling | None = None,
        *,
        stop: Sequence[str] = (),
        skip_special_tokens: bool = True,
    ) -> Generator[Piece]:
        """Answer conversations together; the pieces of their answers as they are given.

        Args:
            sampling: its seed counts up from one conversation to the next, so that equal ones get different answers.
            stop: strings that end an answer, beside the template's.
            skip_special_tokens: leave special tokens out of the text.

        Raises: TunesmithError for a conversation that cannot be answered, before any is.
        """
        requests = []
        for index, asked in enumerate(_listed(conversations)):
            prompt = asked if isinstance(asked, Conversation) else Conversation(asked)
            requests.append(self.request(prompt, seeded(sampling or Sampling(), index), stop=stop))
        if not requests:
            return
        answers = submit_all(self.engine, requests)
        template, processor = template_of(self.engine, self._handle), self._handle.processor
        yield from template.read(processor, answers, stop=stop, skip_special_tokens=skip_special_tokens)

    def request(self, conversation: Conversation, sampling: Sampling, *, stop: Sequence[str] = ()) -> Request:
        """What the engine is to be asked, to answer a conversation.

        Raises: TunesmithError for a conversation that cannot be answered.
        """
        _check(conversation)
        template, processor = template_of(self.engine, self._handle), self._handle.processor
        limit = self.engine.context_length
        return template.request(processor, conversation, sampling, stop=stop, context_length=limit)

    def read(
        self, answer: Answer, conversation: Conversation | None = None, *, stop: Sequence[str] = ()
    ) -> Generator[Piece]:
        """The pieces of an answer.

        Args:
            conversation: what it answers: what is thought and which tools are called is told from what is said.
            stop: strings that end it, beside the template's.
        """
        template: Any = template_of(self.engine, self._handle)  # told the conversation, it tells them apart
        yield from template.read(self._handle.processor, [answer], stop=stop, conversation=conversation)

    def read_all(
        self, answers: Sequence[Answer], conversations: Sequence[Conversation], *, stop: Sequence[str] = ()
    ) -> Generator[Piece]:
        """The pieces of several answers as they come, each taken apart as the answer to its conversation."""
        template: Any = template_of(self.engine, self._handle)
        yield from template.read(self._handle.processor, answers, stop=stop, conversation=list(conversations))

    def close(self) -> None:
        """End all answers, and let the model go."""
        if self._engine is not None:
            self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _listed(conversations: Sequence[Any]) -> Sequence[Any]:
    """What is to be answered. Raises: TunesmithError for one conversation instead of a list of them."""
    single = isinstance(conversations, Conversation | str | Mapping)
    if single or any(isinstance(each, Mapping) for each in conversations):
        raise TunesmithError(
            "this is one conversation, or a message of one; a list of conversations is answered.\n"
            '  write [[{"role": "user", "content": "…"}]]'
        )
    return conversations


def _check(conversation: Conversation) -> None:
    """Raises: TunesmithError for messages that are none, and for text that no tokenizer reads."""
    for index, message in enumerate(conversation.messages):
        if not isinstance(message, Mapping):
            advice = 'a message is {"role": "user", "content": "…"}'
            raise TunesmithError(f"message {index} of a conversation is {message!a:.60}.\n  {advice}")
    texts = {"messages": list(conversation.messages), "tools": list(conversation.tools or ())}
    place = half_pair(texts | {"variables": conversation.variables})
    if place is not None:
        told = f"`{place}` of a conversation holds half of a surrogate pair, which is no character"
        raise TunesmithError(f"{told}.\n  take it out: \\ud800 to \\udfff; or was it read from what is no UTF-8?")


def template_of(engine: Engine, handle: ModelHandle) -> ChatTemplate:
    """What conversations are put to an engine with: the handle's template, or that of an engine that brings one."""
    own: ChatTemplate | None = getattr(engine, "template", None)
    return own or handle.template


def seeded(sampling: Sampling, index: int) -> Sampling:
    """The sampling of one of several answers: the seed, if there is one, counts up."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + index)
