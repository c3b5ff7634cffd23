"""Which choice a model holds the likeliest: log-probabilities of what might follow a question, through the engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.thinking import Thoughts

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

_AT_A_TIME = 512  # questions, whose log-probabilities are held together


def in_turns(
    chat: Chat, asking: Asking, asked: Sequence[list[dict[str, Any]]], answers: Sequence[Sequence[str]]
) -> list[list[float]]:
    """The log-likelihood of each of several answers to a conversation, as the assistant's turn begins.

    Nothing is thought: a thought that the prompt begins is closed.

    Args:
        asking: whose `enable_thinking` is heard; None is False.
    """
    tokenizer, thoughts = tokenizer_of(chat.handle.processor), Thoughts(chat, asking)
    variables = {"enable_thinking": bool(asking.enable_thinking)}
    pairs = []
    for messages, texts in zip(asked, answers, strict=True):
        conversation = Conversation(messages, variables=variables)
        prompt = list(chat.request(conversation, Sampling(max_new_tokens=1)).prompt)
        if thoughts.within(prompt, ()):
            prompt += thoughts.closing(conversation, ())
        ends = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        pairs.append([(prompt, end) for end in ends])
    return _scored(chat, pairs)


def in_text(chat: Chat, asked: Sequence[str], answers: Sequence[Sequence[str]]) -> list[list[float]]:
    """The log-likelihood of each of several answers to plain text, which is read together with it."""
    tokenizer = tokenizer_of(chat.handle.processor)
    starts = [list(ids) for ids in tokenizer(list(asked))["input_ids"]]
    flat = [text + answer for text, some in zip(asked, answers, strict=True) for answer in some]
    wholes = iter(tokenizer(flat)["input_ids"])
    pairs = []
    for start, some in zip(starts, answers, strict=True):
        found = [list(next(wholes)) for _ in some]
        pairs.append([(whole[: len(start)], whole[len(start) :]) for whole in found])
    return _scored(chat, pairs)


def _scored(chat: Chat, pairs: Sequence[Sequence[tuple[list[int], list[int]]]]) -> list[list[float]]:
    """The sums over the tokens of the second of each pair, behind those of the first."""
    found: list[list[float]] = []
    for start in range(0, len(pairs), _AT_A_TIME):
        some = pairs[start : start + _AT_A_TIME]
        scored = iter(chat.engine.score([[*before, *end] for several in some for before, end in several]))
        found += [list(_sums(several, scored)) for several in some]
    return found


def _sums(pairs: Sequence[tuple[list[int], list[int]]], scored: Iterator[Sequence[Any]]) -> Iterator[float]:
    for (_, end), told in zip(pairs, scored, strict=False):
        yield math.fsum(one.value for one in told[len(told) - len(end) :])
