"""From a conversation to the request that an engine gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tunesmith.errors import DataError, TunesmithError
from tunesmith.types import ChatTemplate, Conversation, Request, Sampling

from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_chat.showing import items_of, prompt_of, without_items
from tunesmith_library_chat.spelling import Control
from tunesmith_library_chat.tokenizers import tokenizer_of


def request_of(
    template: ChatTemplate,
    processor: Any,
    conversation: Conversation,
    sampling: Sampling,
    stop: Sequence[str],
    context_length: int | None,
    control: Control,
) -> Request:
    """See `ChatTemplate.request`; `control` is what the conversation may spell as text only."""
    items = items_of(conversation.messages)
    messages = without_items(conversation.messages) if items else conversation.messages
    rendered = template.render(messages, conversation.tools, add_generation_prompt=True, **conversation.variables)
    prompt, inputs = prompt_of(processor, rendered, items, control)
    if not prompt:
        raise DataError(f"template {template.name} renders this conversation to no text at all")
    ends = end_tokens(template, tokenizer_of(processor), stop=stop)
    return Request(
        prompt,
        replace(
            sampling,
            max_new_tokens=_limit(len(prompt), sampling.max_new_tokens, context_length),
            stop_token_ids=tuple(dict.fromkeys((*sampling.stop_token_ids, *ends))),
        ),
        inputs=inputs,
    )


def _limit(prompt: int, wanted: int | None, context_length: int | None) -> int | None:
    """How many tokens the answer may have: what is wanted, or what the context has room for."""
    if context_length is None:
        return wanted
    room = context_length - prompt
    if room < 1:
        raise TunesmithError(
            f"this conversation has {prompt} tokens; the model's context ends at {context_length}.\n"
            "  shorten it, or start a new one"
        )
    return None if wanted is None else min(wanted, room)
