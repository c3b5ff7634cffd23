"""A check of chat templates: what a model was trained to say is read as that, and written as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.errors import DataError

from tunesmith_library_chat.answers import AnswerReader, message_of
from tunesmith_library_chat.conversations import CASES, Case
from tunesmith_library_chat.declarations import declared
from tunesmith_library_chat.framing import frame_of
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.subjects import Finding, Subject


def answers_are_read_back(subject: Subject) -> Iterator[Finding]:
    """What a model was trained to say is read as that: text, thoughts, calls; written again, it is the same text."""
    for name in ("single_answer", "thought", "call", "call_beside", "parallel", "thought_call"):
        case = CASES[name]
        if case.tools and subject.template.calls is None:
            continue
        try:
            rendered = subject.render(case.messages[:2], tools=case.tools)
        except DataError:
            continue
        yield from _read_back(subject, name, case, rendered)


def _read_back(subject: Subject, name: str, case: Case, rendered: Rendered) -> Iterator[Finding]:
    question, meant = case.messages[:2]
    if not rendered.spans:
        yield Finding("the answer is not part of what is trained", name, found=rendered.text)
        return
    template, span = subject.template, rendered.spans[-1]
    said = rendered.text[span.start : span.end]
    for stop in template.stop:
        said = said.removesuffix(stop)
    begun = bool(template.thinking and template.thinking.begun(rendered.text[: span.start]))
    frame = frame_of(template.jinja, template.variables, template.thinking, template.stop)
    reader = AnswerReader(template.calls, template.thinking, declared(case.tools), thought=begun, frame=frame)
    read = message_of(reader.push(said) + reader.finish())
    found = [_as_meant(call) for call in read.get("tool_calls", ())]
    if found != [_as_meant(call) for call in meant.get("tool_calls", ())]:
        yield Finding(f"read as the calls {found}", name, found=said)
    heard = (read["content"], read.get("reasoning"))  # some formats write what is said before a call as a thought
    if meant["content"] not in heard:
        yield Finding(f"what is said is read as {read['content']!r}", name, found=said)
    if template.thinking and meant.get("reasoning", "\0") in said and read.get("reasoning") != meant["reasoning"]:
        yield Finding(f"the thought is read as {read.get('reasoning')!r}", name, found=said)
    if heard == (meant["content"], meant.get("reasoning")):
        return
    again = subject.render((question, read), tools=case.tools).text
    if again != rendered.text:
        yield Finding("what was read is written otherwise", name, expected=rendered.text, found=again)


def _as_meant(call: Mapping[str, Any]) -> tuple[str, Any]:
    """A call's name and arguments."""
    given = call["function"]["arguments"]
    return call["function"]["name"], json.loads(given) if isinstance(given, str) else given
