"""From the tokens of answers to text, while they arrive.

Where thoughts and calls of tools are told from text, it is done between the text that is certain and the pieces.
"""

from __future__ import annotations

import functools
import queue
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.types import Answer, Delta, FinishReason, LogProb, Piece

from tunesmith_library_chat.answers import AnswerReader
from tunesmith_library_chat.decoding import decoder_of
from tunesmith_library_chat.detokenizing import Detokenizer, StopFinder
from tunesmith_library_chat.tokenizers import tokenizer_of


@dataclass(frozen=True)
class Reading:
    """How tokens are read."""

    decode: Callable[[Sequence[int]], str]
    stop: Sequence[str] = ()  # strings that end an answer, for ends of several tokens
    skipped: Collection[int] = ()  # ids that are left out of the text
    split: Callable[[], AnswerReader] | None = None  # tells thoughts and calls from the text; None: all is text


def reading_of(
    processor: Any, stop: Sequence[str], skip_special_tokens: bool, split: Callable[[], AnswerReader] | None = None
) -> Reading:
    """How a tokenizer's tokens are read.

    A special token inside a stop string of several tokens, or inside a mark, is not skipped: it must be seen, or the
    string would not be found.
    """
    tokenizer = tokenizer_of(processor)
    special = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    sought = (*stop, *(split().marks if split else ()))
    skipped = {index for index, token in special if not any(token in string for string in sought)}
    return Reading(
        decode=decoder_of(tokenizer),
        stop=stop,
        skipped=frozenset(skipped) if skip_special_tokens else frozenset(),
        split=split,
    )


class Reader:
    """Reads one answer: deltas in, pieces of text out, until it is done."""

    def __init__(self, index: int, reading: Reading, before: Sequence[int] = ()) -> None:
        """
        Args:
            before: the last tokens of a text that the answer goes on from within; an answer of its own has none.
        """
        self._index, self._skipped = index, reading.skipped
        self._text, self._stop = Detokenizer(reading.decode, before), StopFinder(reading.stop)
        self._split = reading.split() if reading.split else None
        self._tokens: list[int] = []  # since the last piece
        self._log_probs: list[LogProb] = []
        self._decode, self._ended_by = reading.decode, ""  # the text of the token that ended the answer
        self._stops = reading.stop

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the answer, found in its text or said by its last token; None: none did."""
        return self._stop.found or (self._ended_by if self._ended_by in self._stops else None)

    def push(self, delta: Delta) -> Piece | None:
        """Take what is new; give the text that is certain by it, and the last piece when it ends the answer."""
        text, last = "", len(delta.token_ids) - 1
        for place, token in enumerate(delta.token_ids):
            self._tokens.append(token)
            self._log_probs += delta.log_probs[place : place + 1]
            ends = delta.finish_reason == "stop" and place == last
            if ends:
                self._ended_by = self._decode([token])
            if ends or token in self._skipped:
                continue
            more, stopped = self._stop.push(self._text.push(token))
            text += more
            if stopped:
                return self._piece(text, "stop")
        if delta.finish_reason is None:
            return self._piece(text) if text else None
        more, stopped = self._stop.push(self._text.finish())
        text += more + ("" if stopped else self._stop.finish())
        return self._piece(text, "stop" if stopped else delta.finish_reason)

    def _piece(self, text: str, reason: FinishReason | None = None) -> Piece:
        tokens, self._tokens = tuple(self._tokens), []
        log_probs, self._log_probs = tuple(self._log_probs), []
        if self._split is None:
            return Piece(self._index, text, tokens, log_probs, reason)
        parts = self._split.push(text)
        parts = parts + self._split.finish() if reason else parts
        return Piece(self._index, parts.text, tokens, log_probs, reason, parts.thought, parts.calls)


def read(answers: Sequence[Answer], readings: Sequence[Reading]) -> Iterator[Piece]:
    """The pieces of several answers, in the order in which they come; those of different answers alternate.

    An answer that a stop string ended is cancelled, and so are all that are left when the iterator is closed.

    Raises: what went wrong in the engine.
    """
    news: queue.SimpleQueue[tuple[int, Delta | BaseException]] = queue.SimpleQueue()
    readers = {index: Reader(index, readings[index]) for index in range(len(answers))}
    try:
        for index, answer in enumerate(answers):
            answer.listen(functools.partial(_tell, news, index))
        while readers:
            index, item = news.get()
            if isinstance(item, BaseException):
                raise item
            piece = readers[index].push(item) if index in readers else None
            if piece and piece.finish_reason:
                del readers[index]
                answers[index].cancel()
            if piece:
                yield piece
    finally:
        for index in readers:
            answers[index].cancel()


def _tell(news: queue.SimpleQueue[Any], index: int, item: Delta | BaseException) -> None:
    news.put((index, item))
