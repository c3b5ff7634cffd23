"""The template of a model that runs elsewhere: the server renders the conversation, and takes the answer apart."""

from __future__ import annotations

import functools
import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Answer, Conversation, Delta, Message, Piece, Request, Sampling

from .conversing import CONVERSATION, STOP, Spoken


class ServedTemplate:
    """See `tunesmith.types.ChatTemplate`: the part of it that an engine needs, which brings it along."""

    name = "served"
    jinja = ""
    exported = ""
    stop: tuple[str, ...] = ()
    variables: Mapping[str, Any] = {}

    def bind(self, processor: Any) -> ServedTemplate:
        return self

    def render(self, messages: Sequence[Message], tools: Any = None, **variables: Any) -> Any:
        raise TunesmithError(
            "the server renders conversations itself, and does not tell how.\n"
            "  model.path=MODEL takes the tokenizer and the template of that model"
        )

    def request(
        self,
        processor: Any,
        conversation: Conversation,
        sampling: Sampling,
        *,
        stop: Sequence[str] = (),
        context_length: int | None = None,
    ) -> Request:
        if not conversation.messages:
            raise TunesmithError("a conversation has no messages; there is nothing to answer")
        return Request((), sampling, inputs={CONVERSATION: conversation, STOP: tuple(stop)})

    def read(
        self,
        processor: Any,
        answers: Sequence[Answer],
        *,
        stop: Sequence[str] = (),
        skip_special_tokens: bool = True,
        conversation: Conversation | Sequence[Conversation] | None = None,
    ) -> Iterator[Piece]:
        """The pieces of answers as they come. Thoughts and calls are told from the text by the server.

        Args:
            stop, skip_special_tokens: the server's business, which was told.
        """
        news: queue.SimpleQueue[tuple[int, Delta | BaseException]] = queue.SimpleQueue()
        left = set(range(len(answers)))
        try:
            for index, answer in enumerate(answers):
                answer.listen(functools.partial(_tell, news, index))
            while left:
                index, item = news.get()
                if isinstance(item, BaseException):
                    raise item
                if item.finish_reason:
                    left.discard(index)
                yield replace(piece_of(item), index=index)
        finally:
            for index in left:
                answers[index].cancel()


def piece_of(delta: Delta) -> Piece:
    """What is new of an answer, with the index 0."""
    if not isinstance(delta, Spoken):  # it was cancelled
        return Piece(0, "", finish_reason=delta.finish_reason)
    return Piece(0, delta.text, finish_reason=delta.finish_reason, thought=delta.thought, calls=delta.calls)


def _tell(news: queue.SimpleQueue[Any], index: int, item: Delta | BaseException) -> None:
    news.put((index, item))
