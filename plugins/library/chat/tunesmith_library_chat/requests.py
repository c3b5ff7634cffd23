"""From a conversation to the request that an engine gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.errors import DataError, TunesmithError
from tunesmith.types import ChatTemplate, Conversation, Request, Sampling

from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_chat.spelling import Control
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import tokenize


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
    _refuse_media(conversation)
    rendered = template.render(
        conversation.messages, conversation.tools, add_generation_prompt=True, **conversation.variables
    )
    tokenizer = tokenizer_of(processor)
    prompt = list(tokenize(tokenizer, [rendered], control=control)[0].ids)
    if not prompt:
        raise DataError(f"template {template.name} renders this conversation to no text at all")
    ends = end_tokens(template, tokenizer, stop=stop)
    return Request(
        prompt,
        replace(
            sampling,
            max_new_tokens=_limit(len(prompt), sampling.max_new_tokens, context_length),
            stop_token_ids=tuple(dict.fromkeys((*sampling.stop_token_ids, *ends))),
        ),
    )


def _refuse_media(conversation: Conversation) -> None:
    for message in conversation.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        other = {str(part.get("type")) for part in parts if isinstance(part, Mapping)} - {"text"}
        if other:
            raise DataError(f"only text can be answered, not {', '.join(sorted(other))}")


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
