"""Thoughts that models write before their answers: between which marks, and which of them are not trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.messages import announce
from tunesmith.types import Message

from tunesmith_library_chat.spans import Span

WRITTEN_THOUGHTS = """\
{%- set thoughtful = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- set thought = message.reasoning or message.reasoning_content -%}
{%- if thought and message.role == 'assistant' -%}
{%- set written = '<think>\\n' ~ thought.strip('\\n') ~ '\\n</think>\\n\\n' -%}
{%- if message.content and message.content is not string -%}
{%- set message = dict(message, content=[{'type': 'text', 'text': written}] + message.content) -%}
{%- else -%}
{%- set message = dict(message, content=written ~ (message.content or '')) -%}
{%- endif -%}
{%- endif -%}
{%- set thoughtful.messages = thoughtful.messages + [message] -%}
{%- endfor -%}
{%- set messages = thoughtful.messages %}"""
"""Jinja before that of a template which has no form for thoughts: each is written at the beginning of its content."""


_FIELDS = ("reasoning", "reasoning_content", "thinking")  # of messages, in which templates look for thoughts


@dataclass(frozen=True)
class Thinking:
    """How a model's thoughts are told from its answer."""

    open: str = "<think>"
    close: str = "</think>"
    switch: str | None = None  # the template's variable that switches thoughts on and off; None: nothing does

    def off(self, variables: Mapping[str, Any]) -> bool:
        """Whether the template's variables say that the model does not think."""
        return self.switch is not None and variables.get(self.switch) is False

    def begun(self, prompt: str) -> bool:
        """Whether a prompt ends inside a thought, which the answer goes on with."""
        return prompt.rstrip().endswith(self.open.rstrip())


def announce_empty_thoughts(trained: bool) -> None:
    """Say what becomes of the empty thoughts that a template writes."""
    why = "an answer without thought teaches" if trained else "data without thoughts would teach"
    announce("template.train_empty_thought", str(trained).lower(), f"{why} the model not to think")


def as_learnt(
    messages: Sequence[Message], thinking: Thinking, jinja: str, variables: Mapping[str, Any]
) -> Sequence[Message]:
    """Messages with the thought of the last where the Jinja reads it, or without any, where variables say not to think.

    Earlier ones stay as they are, for so they stand in the prompt.
    """
    if thinking.off(variables):
        return [_without_thought(message, thinking) for message in messages]
    if not messages or "reasoning" not in jinja or WRITTEN_THOUGHTS in jinja:
        return messages
    return [*messages[:-1], _with_thought_apart(messages[-1], thinking)]


def _without_thought(message: Message, thinking: Thinking) -> Message:
    kept = {key: value for key, value in message.items() if key not in _FIELDS}
    content = kept.get("content")
    if message["role"] != "assistant" or not isinstance(content, str):
        return kept
    closed = next((close for form in (thinking, Thinking()) if (close := form.close.strip()) in content), None)
    return {**kept, "content": content.partition(closed)[2].lstrip("\n")} if closed else kept


def _with_thought_apart(message: Message, thinking: Thinking) -> Message:
    """A message with the thought that its content begins with in the field for it: families write it in other forms."""
    content = message.get("content")
    if message["role"] != "assistant" or not isinstance(content, str) or any(message.get(key) for key in _FIELDS):
        return message
    for form in (thinking, Thinking()):
        before, opened, rest = content.partition(form.open.strip())
        thought, closed, said = rest.partition(form.close.strip())
        if opened and closed and not before.strip():
            apart = dict.fromkeys(_FIELDS, thought.strip("\n")) if thought.strip() else {}
            return {**message, **apart, "content": said.lstrip("\n")}
    return message


def behind_empty_thoughts(text: str, spans: Sequence[Span], thinking: Thinking) -> tuple[Span, ...]:
    """What the assistant says without the empty thoughts that it begins with, or the ends of those that prompts begin.

    A model that was trained to think, and sees no thought in its data, would learn from them not to think.
    """
    mark, close = re.escape(thinking.open.strip()), re.escape(thinking.close.strip())
    empty = re.compile(rf"\s*(?:{mark})?\s*{close}\s*")
    found = []
    for span in spans:
        match = empty.match(text, span.start, span.end)
        found.append(replace(span, start=match.end()) if match else span)
    return tuple(found)
