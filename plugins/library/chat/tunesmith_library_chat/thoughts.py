"""Thoughts that models write before their answers: between which marks, and which of them are not trained."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.messages import announce
from tunesmith.types import Message

from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_chat.samples import as_key, filled, sample
from tunesmith_library_chat.spans import Span

_WRITTEN_THOUGHTS = """\
{%%- set thoughtful = namespace(messages=[]) -%%}
{%%- for message in messages -%%}
{%%- set thought = message.reasoning or message.reasoning_content -%%}
{%%- if thought and message.role == 'assistant'%s -%%}
{%%- set written = '<think>\\n' ~ thought.strip('\\n') ~ '\\n</think>\\n\\n' -%%}
{%%- if message.content and message.content is not string -%%}
{%%- set parts = message.content -%%}
{%%- set told = parts[0].type == 'text' -%%}
{%%- set first = {'type': 'text', 'text': written ~ (parts[0].text if told else '')} -%%}
{%%- set message = dict(message, content=[first] + parts[1 if told else 0:]) -%%}
{%%- else -%%}
{%%- set message = dict(message, content=written ~ (message.content or '')) -%%}
{%%- endif -%%}
{%%- endif -%%}
{%%- set thoughtful.messages = thoughtful.messages + [message] -%%}
{%%- endfor -%%}
{%%- set messages = thoughtful.messages %%}"""
WRITTEN_THOUGHTS = _WRITTEN_THOUGHTS % ""
"""Jinja before that of a template which has no form for thoughts: each is written at the beginning of its content."""
LEARNT_THOUGHTS = _WRITTEN_THOUGHTS % " and training and loop.last"
"""The same before that of a template which leaves them out: only the one that is trained is written."""


_READS_THOUGHTS = re.compile(r"reasoning|\.thinking\b|\[['\"]thinking['\"]\]")
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

    Earlier ones are as they stand in the prompt; see `as_asked`.
    """
    if thinking.off(variables):
        return [_without_thought(message, thinking) for message in messages]
    asked = as_asked(messages, thinking, jinja, variables)
    if not messages or WRITTEN_THOUGHTS in jinja:
        return asked
    return [*asked[:-1], _in_its_place(asked[-1], (thinking, Thinking()), thinking, jinja)]


def as_asked(
    messages: Sequence[Message], thinking: Thinking | None, jinja: str, variables: Mapping[str, Any]
) -> Sequence[Message]:
    """Messages whose content holds no thoughts that the Jinja would write down as text.

    What it takes out of the content itself stays there: so it does when it is served.
    """
    if thinking is None or WRITTEN_THOUGHTS in jinja:
        return messages
    closes = (thinking.close.strip(), Thinking.close)
    if not any(_holds(message, closes) for message in messages):
        return messages
    given = as_key({**variables, "tools": None})
    forms = tuple(form for form in (thinking, Thinking()) if _keeps(jinja, form.open, form.close, given))
    return [_in_its_place(message, forms, thinking, jinja) for message in messages]


def _holds(message: Message, closes: Sequence[str]) -> bool:
    """Whether the assistant's content holds the end of a thought; most rows are told by this alone."""
    if message.get("role") != "assistant":
        return False
    content = message.get("content")
    parts = [part.get("text") for part in content] if isinstance(content, list) else [content]
    return any(isinstance(text, str) and close in text for text in parts for close in closes)


@functools.lru_cache(maxsize=256)
def _keeps(jinja: str, opened: str, closed: str, variables: str) -> bool:
    """Whether Jinja writes a thought within the content of an earlier answer as it stands there.

    Args:
        variables: of the Jinja, as JSON.
    """
    said = f"{opened}\nwhy\ufdde\n{closed}\n\nthis\ufddf"
    turns = ("user", "1"), ("assistant", said), ("user", "2"), ("assistant", "3")
    form = content_form(jinja)
    talk = [canonical({"role": role, "content": content}, form) for role, content in turns]
    values = {**json.loads(variables), "messages": talk, "add_generation_prompt": False}
    return said in (filled(jinja, values) or "")


def with_written_thoughts(jinja: str, variables: Mapping[str, Any]) -> str:
    """Jinja that writes thoughts in `<think>` blocks before the content, where it does not write them itself.

    One that knows of them leaves them out on purpose: it goes on to do so, but for the thought that is trained.
    """
    if "reasoning" not in jinja:
        return WRITTEN_THOUGHTS + jinja
    thought = "why\ufdde"
    answer = {"role": "assistant", "content": "this", "reasoning": thought}
    text = sample(jinja, as_key({**variables, "training": True}), json.dumps(answer))
    return jinja if text is None or thought in text else LEARNT_THOUGHTS + jinja


def heeds_switch(jinja: str, variables: Mapping[str, Any]) -> bool:
    """Whether `enable_thinking` changes what Jinja writes: a prompt, or an answer with a thought or without one."""
    if "enable_thinking" not in jinja:
        return False
    answer = {"role": "assistant", "content": "this"}
    for last in (None, answer, {**answer, "reasoning": "why"}):
        switched = ({**variables, "training": True, "enable_thinking": value} for value in (True, False))
        texts = {sample(jinja, as_key(given), json.dumps(last)) for given in switched}
        if len(texts) > 1 or texts == {None}:
            return True
    return False


def _without_thought(message: Message, thinking: Thinking) -> Message:
    kept = {key: value for key, value in message.items() if key not in _FIELDS}
    content = kept.get("content")
    if message["role"] != "assistant" or not isinstance(content, str):
        return kept
    closed = next((close for form in (thinking, Thinking()) if (close := form.close.strip()) in content), None)
    return {**kept, "content": content.partition(closed)[2].lstrip("\n")} if closed else kept


def _in_its_place(message: Message, forms: Sequence[Thinking], thinking: Thinking, jinja: str) -> Message:
    """A message with the thought that its content begins with where the Jinja reads it: in the field for it, or between
    the template's own marks.

    Args:
        forms: the marks between which a thought is taken for one.
    """
    content, parts = message.get("content"), []
    if isinstance(content, list) and content and content[0].get("type") == "text":
        content, parts = content[0]["text"], content[1:]
    if message.get("role") != "assistant" or not isinstance(content, str) or any(message.get(key) for key in _FIELDS):
        return message
    for form in forms:
        before, opened, rest = content.partition(form.open.strip())
        thought, closed, said = rest.partition(form.close.strip())
        if not (opened and closed and not before.strip()):
            continue
        reads = _READS_THOUGHTS.search(jinja) is not None
        if not reads and (form.open, form.close) == (thinking.open, thinking.close):
            return message
        apart, said = {}, said.lstrip("\n")
        if thought.strip() and reads:
            apart = dict.fromkeys(_FIELDS, thought.strip("\n"))
        elif thought.strip():
            said = f"{thinking.open}{thought}{thinking.close}\n\n{said}"
        written = [{"type": "text", "text": said}, *parts] if isinstance(message["content"], list) else said
        return {**message, **apart, "content": written}
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
