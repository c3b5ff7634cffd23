"""How likely a model holds each label as the beginning of its answer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.messages import announce
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_evaluating.thinking import Thoughts

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

_AT_A_TIME = 512  # sequences, whose log-probabilities are held together


def log_probs(chat: Chat, asking: Asking, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[list[float]]:
    """The sums of log p over the tokens of each label, as an answer to each prompt without a thought.

    Where a label begins another, as 1 does 10, the end of the answer counts as a part of each: without it the shorter
    one would never be less likely.
    """
    tokenizer, thoughts = tokenizer_of(chat.handle.processor), Thoughts(chat, asking)
    ends = [list(tokenizer.encode(label, add_special_tokens=False)) for label in labels]
    if _one_begins_another(ends):
        announce("labels", "with the end of the answer", "one of them begins another")
        ends = [[*end, *_end_of_turn(chat)] for end in ends]
    sequences = []
    for prompt in prompts:
        conversation = Conversation(prompt.messages, prompt.tools, {**prompt.variables, "enable_thinking": False})
        start = list(chat.request(conversation, Sampling(max_new_tokens=1)).prompt)
        if thoughts.within(start, ()):
            start += thoughts.closing(conversation, ())
        sequences += [[*start, *end] for end in ends]
    sums: list[float] = []
    for place in range(0, len(sequences), _AT_A_TIME):
        scored = chat.engine.score(sequences[place : place + _AT_A_TIME])
        sizes = (len(ends[at % len(ends)]) for at in range(place, place + len(scored)))
        sums += [math.fsum(token.value for token in told[-size:]) for told, size in zip(scored, sizes, strict=True)]
    return [sums[at : at + len(ends)] for at in range(0, len(sums), len(ends))]


def _one_begins_another(ends: Sequence[Sequence[int]]) -> bool:
    ordered = sorted(map(tuple, ends))  # what begins others stands before the first of them
    return any(after[: len(before)] == before for before, after in itertools.pairwise(ordered))


def _end_of_turn(chat: Chat) -> list[int]:
    """What the template writes behind an answer, else the tokenizer's end of a sequence."""
    tokenizer, stop = tokenizer_of(chat.handle.processor), chat.handle.template.stop
    return list(tokenizer.encode(stop[0], add_special_tokens=False)) if stop else [tokenizer.eos_token_id]
