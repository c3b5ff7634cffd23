"""Prompts answered together, each answer taken apart: what is thought, what is said, which tools are called.

A thought is no answer: where it never ended, nothing was said. A budget closes it with the template's own end of
thoughts, and has the model go on from there (s1, Muennighoff et al. 2025, arXiv 2501.19393, section 3.1).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tunesmith.types import Answer, Conversation, Piece, Request, Sampling
from tunesmith_library_engine.chatting import seeded
from tunesmith_library_engine.together import submit_all

from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.evaluation import Measured
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_evaluating.statistics import mean
from tunesmith_library_evaluating.thinking import Thoughts, behind, cut_at, rest_of

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

_AT_A_TIME = 32  # prompts with media, since what an engine is asked holds their pixels


@dataclass(frozen=True)
class Answered:
    """One answer, whole."""

    text: str  # what is said to the user: without thought, without calls of tools
    thought: str
    calls: tuple[dict[str, Any], ...]  # `name`, and `arguments` as a mapping, or as text where they are no JSON
    finish_reason: str
    unfinished: bool  # the thought never ended: `text` is empty, and the answer is wrong
    num_tokens: int  # of the whole answer, with its thought and what closed it; 0 where nobody tells them

    @property
    def truncated(self) -> bool:
        """Whether a limit of tokens, or the context's, cut it off."""
        return self.finish_reason == "length"


def answered(
    chat: Chat, prompts: Sequence[Prompt], sampling: Sampling, *, asking: Asking, stop: Sequence[str] = ()
) -> list[Answered]:
    """Answer prompts, all together; with media a part of them at a time.

    Args:
        sampling: its seed counts up from one prompt to the next.
        asking: whether and how long the model thinks.
        stop: strings that end an answer, beside the template's.

    Returns: the answers in the order of the prompts.
    Raises: TunesmithError for a prompt that cannot be answered, before any of its part is; DataError for media that
        cannot be read.
    """
    if not any(prompt.media for prompt in prompts):
        return _together(chat, prompts, sampling, asking, stop, ())
    from tunesmith_library_media.options import options_of

    hosts, found = options_of(chat.handle.processor).hosts, list[Answered]()
    for start in range(0, len(prompts), _AT_A_TIME):
        part = prompts[start : start + _AT_A_TIME]
        found += _together(chat, part, seeded(sampling, start), asking, stop, hosts)
    return found


def cut_short(answers: Sequence[Answered]) -> dict[str, Measured]:
    """The shares of thoughts that never ended, and of answers that a limit cut: metrics of whoever has a model answer.

    Raises: ValueError for no answers.
    """
    return {
        "unfinished": mean([float(answer.unfinished) for answer in answers], greater_is_better=False),
        "truncated": mean([float(answer.truncated) for answer in answers], greater_is_better=False),
    }


def explained(prompt: Prompt, answer: Answered) -> dict[str, Any]:
    """What a record tells of an answer beside its numbers, as JSON has it."""
    shown = {"prompt": prompt.messages, **prompt.places, "answer": prompt.answer, "prediction": answer.text}
    if answer.thought:
        shown["thought"] = answer.thought
    if answer.calls:
        shown["calls"] = list(answer.calls)
    return {**shown, "unfinished": float(answer.unfinished), "truncated": float(answer.truncated)}


@dataclass
class _Growing:
    """An answer while it is given."""

    conversation: Conversation
    request: Request
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    thought: str = ""
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    reason: str = ""

    def take(self, piece: Piece) -> None:
        self.tokens += piece.token_ids
        self.text += piece.text
        self.thought += piece.thought
        for call in piece.calls:
            made = self.calls.setdefault(call.index, {"name": "", "arguments": ""})
            made["name"] += call.name
            made["arguments"] += call.arguments
        self.reason = piece.finish_reason or self.reason

    def thinks(self, thoughts: Thoughts) -> bool:
        """Whether it ended within a thought."""
        if self.text or self.calls:
            return False
        if not self.request.prompt:  # nobody tells its tokens
            return bool(self.thought) and self.reason == "length"
        return thoughts.within(self.request.prompt, self.tokens)

    def whole(self, thoughts: Thoughts) -> Answered:
        calls = tuple({"name": call["name"], "arguments": _read(call["arguments"])} for call in self.calls.values())
        return Answered(self.text, self.thought, calls, self.reason, self.thinks(thoughts), len(self.tokens))


def _together(
    chat: Chat,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    asking: Asking,
    stop: Sequence[str],
    hosts: Sequence[str],
) -> list[Answered]:
    switch = {} if asking.enable_thinking is None else {"enable_thinking": asking.enable_thinking}
    thoughts, growing, first = Thoughts(chat, asking), list[_Growing](), list[Request]()
    for index, prompt in enumerate(prompts):
        conversation = Conversation(prompt.shown(hosts), prompt.tools, {**prompt.variables, **switch})
        budget = thoughts.budget(conversation)
        most = budget and budget + (sampling.max_new_tokens or asking.max_new_tokens)
        asked = replace(seeded(sampling, index), max_new_tokens=most or sampling.max_new_tokens)
        growing.append(_Growing(conversation, chat.request(conversation, asked, stop=stop)))
        first.append(cut_at(growing[-1].request, budget))
    _grow(chat, growing, submit_all(chat.engine, first), stop)
    cut = [it for it, asked in zip(growing, first, strict=True) if it.reason == "length" and asked is not it.request]
    _go_on(chat, cut, thoughts, stop)
    thoughts.tell_what_is_left_in([it.text for it in growing])
    return [it.whole(thoughts) for it in growing]


def _go_on(chat: Chat, growing: Sequence[_Growing], thoughts: Thoughts, stop: Sequence[str]) -> None:
    """Go on with answers that the budget of their thoughts cut; a thought that is open is closed."""
    begun, rests, left = list[list[int]](), list[Request](), list[_Growing]()
    for it in growing:
        closing = thoughts.closing(it.conversation, it.tokens) if it.thinks(thoughts) else []
        rest = rest_of(it.request, it.tokens, closing)
        if rest is not None:
            begun.append([*it.tokens, *closing])
            rests.append(rest)
            left.append(it)
    answers = submit_all(chat.engine, rests)
    again = [_Growing(it.conversation, it.request) for it in left]
    _grow(chat, again, [behind(*pair) for pair in zip(begun, answers, strict=True)], stop)
    for it, whole in zip(left, again, strict=True):
        vars(it).update(vars(whole))


def _grow(chat: Chat, growing: Sequence[_Growing], answers: Sequence[Answer], stop: Sequence[str]) -> None:
    for piece in chat.read_all(answers, [it.conversation for it in growing], stop=stop):
        growing[piece.index].take(piece)


def _read(arguments: str) -> Any:
    """Arguments of a call, which are text where they are no JSON object."""
    try:
        read = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    return read if isinstance(read, dict) else arguments
