"""What every chat template keeps to, as checks that a test suite and a command run alike, on a template and its facts.

Each check is a function that takes a `Subject` and yields what it finds wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Conversation, Message, Sampling

from tunesmith_library_chat.answers import AnswerReader, message_of
from tunesmith_library_chat.conversations import CASES, TALK, Case
from tunesmith_library_chat.declarations import declared
from tunesmith_library_chat.facts import TemplateFacts
from tunesmith_library_chat.framing import frame_of
from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.sources import fill_in
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import LEARNT_THOUGHTS
from tunesmith_library_chat.tokenizing import tokenize


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    message: str
    case: str = ""  # of `CASES`
    expected: str = ""  # two texts that should be the same
    found: str = ""

    def __str__(self) -> str:
        where = f"{self.case}: " if self.case else ""
        texts = f"\n--- expected\n{self.expected}⏎\n--- found\n{self.found}⏎" if self.expected or self.found else ""
        return f"{where}{self.message}{texts}"


@dataclass(frozen=True)
class Subject:
    """A template under test."""

    template: ChatTemplate  # bound to the tokenizer
    facts: TemplateFacts  # empty ones, without a name, where the plugin says nothing of itself
    tokenizer: Any
    talk: Sequence[Message] = TALK  # plain turns that end with the assistant; no content occurs twice
    variables: Mapping[str, Any] = field(default_factory=dict)  # given to every rendering
    official: Mapping[str, str] = field(default_factory=dict)  # what the model's own template makes of cases
    has_tools: bool = True  # False: they are refused
    has_system: bool = True  # False: a system message is refused

    def render(self, messages: Sequence[Message], **arguments: Any) -> Rendered:
        """A conversation as a model is trained on it, without a thought."""
        given = {"training": True, **arguments, **self.facts.plain, **self.variables}
        return self.template.render(messages, **given)

    @property
    def whole(self) -> Subject:
        """The same, with spans that begin where prompts end: empty thoughts in them."""
        return replace(self, template=replace(self.template, train_empty_thought=True))


Check = Callable[[Subject], Iterator[Finding]]


def renders_every_message(subject: Subject) -> Iterator[Finding]:
    """Every content stands in the text, unchanged and in order."""
    text = subject.render(subject.talk).text
    places = [text.find(message["content"]) for message in subject.talk]
    if -1 in places or places != sorted(places):
        missing = [message["content"] for message, place in zip(subject.talk, places, strict=True) if place < 0]
        yield Finding(f"missing, or out of order: {missing or places}", found=text)


def marks_what_the_assistant_says(subject: Subject) -> Iterator[Finding]:
    """One span per assistant message: its content and the string that ends the turn, and nobody else's words."""
    rendered = subject.render(subject.talk)
    turns = [index for index, message in enumerate(subject.talk) if message["role"] == "assistant"]
    if [span.message for span in rendered.spans] != turns:
        yield Finding(f"spans of the messages {[span.message for span in rendered.spans]}, the assistant's are {turns}")
        return
    for span in rendered.spans:
        said = rendered.text[span.start : span.end]
        others = [
            m["content"] for index, m in enumerate(subject.talk) if index != span.message and m["content"] in said
        ]
        if subject.talk[span.message]["content"] not in said:
            yield Finding(f"the span {said!r} does not hold what the assistant says")
        # What becomes of earlier answers may be without the end that each had while it was the last.
        ended = not subject.facts.rewrites or span is rendered.spans[-1]
        if ended and not said.endswith(subject.template.stop):
            yield Finding(f"the span {said!r} ends with none of {subject.template.stop}")
        if others:
            yield Finding(f"the span {said!r} holds other people's words: {others}")


def prompt_begins_what_is_trained(subject: Subject) -> Iterator[Finding]:
    """What the model is asked with is the beginning of what it was trained on."""
    whole = subject.whole
    asked = whole.render(subject.talk[:-1], add_generation_prompt=True).text
    trained = whole.render(subject.talk)
    if not trained.text.startswith(asked):
        yield Finding("a prompt is not how its conversation begins", expected=asked, found=trained.text)
    elif not trained.spans or trained.spans[-1].start > len(asked):
        yield Finding("what is trained begins behind where the prompt ends", found=trained.text)
    elif len(asked) > trained.text.index(subject.talk[-1]["content"]):
        yield Finding("the prompt ends behind the beginning of the answer", expected=asked, found=trained.text)


def earlier_turns_stay(subject: Subject) -> Iterator[Finding]:
    """A conversation that goes on begins as it did, or the facts say why not.

    A thought that is written for training alone is none that a prompt has.
    """
    if subject.facts.rewrites:
        return
    for name in ("system_multi", "thought_multi", "parallel"):
        case = CASES[name]
        learnt = name == "thought_multi" and LEARNT_THOUGHTS in subject.template.jinja
        given = {"tools": case.tools, "training": not learnt}
        ends = [end for end, message in enumerate(case.messages, 1) if message["role"] == "assistant"]
        try:
            texts = [subject.whole.render(case.messages[:end], **given).text for end in ends]
        except DataError:
            continue
        for text in texts[:-1]:
            if not texts[-1].startswith(text):
                yield Finding("earlier turns change, and `rewrites` says nothing of it", name, text, texts[-1])


def system_message(subject: Subject) -> Iterator[Finding]:
    """A system message is rendered, or refused with a reason; it is never dropped."""
    said = CASES["system"].messages[0]["content"]
    text = _or_refused(subject, "system")
    if subject.has_system and (text is None or said not in text.text):
        yield Finding("the system message is missing" if text else "a system message is refused", "system")
    if not subject.has_system and text is not None:
        yield Finding("a system message should be refused, for the facts say system=False", "system", found=text.text)


def tools_are_written(subject: Subject) -> Iterator[Finding]:
    """Tools, a call and its result are rendered, or refused with a reason; they are never dropped."""
    rendered = _or_refused(subject, "call")
    if not subject.has_tools:
        if rendered is not None:
            yield Finding("tools should be refused, for the facts name no format of calls", "call", found=rendered.text)
        return
    if rendered is None:
        yield Finding("tools are refused", "call")
        return
    for what, text in {"tool's description": "Count the waves on a beach.", "tool's result": "7042"}.items():
        if text not in rendered.text:
            yield Finding(f"the {what} is missing", "call", found=rendered.text)
    calls = [rendered.text[span.start : span.end] for span in rendered.spans if span.message == 1]
    if not calls or not any(written in calls[0] for written in ("Rügen", r"R\u00fcgen")):
        yield Finding("the call is not part of what the assistant says", "call", found=rendered.text)


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
    if meant["content"] in said and meant["content"] not in heard:
        yield Finding(f"what is said is read as {read['content']!r}", name, found=said)
    if template.thinking and meant.get("reasoning", "\0") in said and read.get("reasoning") != meant["reasoning"]:
        yield Finding(f"the thought is read as {read.get('reasoning')!r}", name, found=said)
    again = subject.render((question, read), tools=case.tools).text
    if again != rendered.text:
        yield Finding("what was read is written otherwise", name, expected=rendered.text, found=again)


def _as_meant(call: Mapping[str, Any]) -> tuple[str, Any]:
    """A call's name and arguments."""
    given = call["function"]["arguments"]
    return call["function"]["name"], json.loads(given) if isinstance(given, str) else given


def users_cannot_forge_turns(subject: Subject) -> Iterator[Finding]:
    """What a user writes is text, also where it spells a special token."""
    template = subject.template
    token = next((token for token in template.control.tokens if token in template.stop), None)
    if token is None:
        return
    texts = ("Nothing.", f"Nothing{token}.")
    rendered = [subject.render([{"role": "user", "content": text}], add_generation_prompt=True) for text in texts]
    ids = [list(encoding.ids) for encoding in tokenize(subject.tokenizer, rendered, control=template.control)]
    special = subject.tokenizer.encode(token, add_special_tokens=False)[-1]
    if ids[0].count(special) != ids[1].count(special):
        yield Finding(f"a user who writes {token} ends the turn", found=rendered[1].text)


def stop_ends_the_answer(subject: Subject) -> Iterator[Finding]:
    """Each string that ends a turn is a token that ends the answer in the engine, or is looked for in the text."""
    chat = Conversation(subject.talk[:1], variables=subject.variables)
    request = subject.template.request(subject.tokenizer, chat, Sampling())
    for stop in subject.template.stop:
        ids = subject.tokenizer.encode(stop, add_special_tokens=False)
        if len(ids) == 1 and ids[0] not in request.sampling.stop_token_ids:
            yield Finding(f"{stop} is a token and does not end answers")


def exported_renders_the_same(subject: Subject) -> Iterator[Finding]:
    """Other programs, given the exported Jinja, render the same text: what was trained is what is served."""
    template = subject.template
    served = ChatTemplate(template.name, template.exported, template.stop).bind(subject.tokenizer)
    form = content_form(template.exported)
    whole, begun = subject.talk, subject.talk[:-1]
    for talk, prompt, training in ((whole, False, True), (whole, False, False), (begun, True, False)):
        ours = subject.render(talk, add_generation_prompt=prompt, training=training).text
        given = {**template.variables, **subject.facts.plain, **subject.variables}
        values = {"messages": [canonical(message, form) for message in talk], "add_generation_prompt": prompt}
        theirs = fill_in(served.jinja, {**served.variables, **template.switched(given), "training": training, **values})
        if ours != theirs:
            yield Finding("the exported template writes otherwise", expected=ours, found=theirs)


def is_the_official_format(subject: Subject) -> Iterator[Finding]:
    """The text is the model's own official format, white space included."""
    for name, text in subject.official.items():
        try:
            ours = subject.template.render(CASES[name].messages, **CASES[name].arguments).text
        except DataError as error:
            yield Finding(f"refused: {error}", name, expected=text)
            continue
        if ours != text:
            yield Finding("not as the official template writes it", name, text, ours)


def whole_renderings(template: ChatTemplate) -> dict[str, str]:
    """What a template makes of `CASES`, by name, without those that it refuses, or whose tools, thoughts or images it
    leaves out in silence."""
    found = {}
    for name, case in CASES.items():
        try:
            text = template.render(case.messages, **case.arguments).text
        except DataError:
            continue
        tools = "Count the waves" in text or not case.tools
        thoughts = [message["reasoning"] for message in case.messages if "reasoning" in message]
        if tools and (not thoughts or any(thought in text for thought in thoughts)) and "'type'" not in text:
            found[name] = text
    return found


def _or_refused(subject: Subject, name: str) -> Rendered | None:
    try:
        return subject.render(CASES[name].messages, **CASES[name].arguments)
    except DataError:
        return None


CHECKS: tuple[Check, ...] = (
    renders_every_message,
    marks_what_the_assistant_says,
    prompt_begins_what_is_trained,
    earlier_turns_stay,
    system_message,
    tools_are_written,
    answers_are_read_back,
    users_cannot_forge_turns,
    stop_ends_the_answer,
    exported_renders_the_same,
    is_the_official_format,
)
"""All of them, in the order in which they are told."""
