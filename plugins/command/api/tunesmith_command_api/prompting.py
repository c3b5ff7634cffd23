"""From a conversation to what an engine is asked, and to how its answer is read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.types import Conversation, Request, Sampling
from tunesmith_library_chat import ChatTemplate, tokenizer_of
from tunesmith_library_chat.answers import AnswerReader
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_chat.reading import Reading, reading_of
from tunesmith_library_chat.showing import items_of, prompt_of, without_items

Ending = Literal["prompt", "continue", "none"]
"""How a conversation ends as a prompt: with what precedes an answer, inside its last message, or as it is."""


def request_of(
    template: ChatTemplate,
    processor: Any,
    conversation: Conversation,
    sampling: Sampling,
    stop: Sequence[str],
    ending: Ending,
) -> Request:
    """What an engine is asked.

    Raises: TunesmithError for a conversation that cannot be answered.
    """
    if ending == "prompt":
        return template.request(processor, conversation, sampling, stop=stop)
    items = items_of(conversation.messages)
    how: Mapping[str, Any] = {**conversation.variables, "continue_final_message": ending == "continue"}
    rendered = template.render(without_items(conversation.messages), conversation.tools, **how)
    prompt, inputs = prompt_of(processor, rendered, items, template.control)
    if not prompt:
        raise DataError(f"template {template.name} renders this conversation to no text at all")
    ends = end_tokens(template, tokenizer_of(processor), stop=stop)
    stopped = replace(sampling, stop_token_ids=tuple(dict.fromkeys((*sampling.stop_token_ids, *ends))))
    return Request(prompt, stopped, inputs=inputs)


def reading_for(
    template: ChatTemplate,
    processor: Any,
    conversation: Conversation,
    stop: Sequence[str],
    ending: Ending,
    skip_special_tokens: bool,
) -> Reading:
    """How answers to a conversation are read; without tools nothing is taken for a call of one."""
    asked = template if conversation.tools or not isinstance(template, ChatTemplate) else replace(template, calls=None)
    reader = asked.reader(conversation)
    strings = tuple(dict.fromkeys((*template.stop, *stop)))
    return reading_of(processor, strings, skip_special_tokens, _copies(reader, conversation, ending))


def _copies(reader: AnswerReader, conversation: Conversation, ending: Ending) -> Callable[[], AnswerReader] | None:
    """A reader for each answer, made from one: it knows the rendered prompt.

    Where the answer goes on within a message it has read what stands there; None where that ends in what it has yet to
    make out.
    """
    if ending == "continue":
        begun = str(conversation.messages[-1].get("content") or "").rstrip()
        read = reader.push(begun)
        if (read.thought + read.text).strip() != begun:
            return None
    return partial(copy.deepcopy, reader)
