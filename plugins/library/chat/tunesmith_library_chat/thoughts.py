"""Thoughts that models write before their answers: between which marks, and which of them are not trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.messages import announce

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


@dataclass(frozen=True)
class Thinking:
    """How a model's thoughts are told from its answer."""

    open: str = "<think>"
    close: str = "</think>"
    switch: str | None = None  # the template's variable that switches thoughts on and off; None: nothing does

    def begun(self, prompt: str) -> bool:
        """Whether a prompt ends inside a thought, which the answer goes on with."""
        return prompt.rstrip().endswith(self.open.rstrip())


def announce_empty_thoughts(trained: bool) -> None:
    """Say what becomes of the empty thoughts that a template writes."""
    why = "an answer without thought teaches" if trained else "data without thoughts would teach"
    announce("template.train_empty_thought", str(trained).lower(), f"{why} the model not to think")


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
