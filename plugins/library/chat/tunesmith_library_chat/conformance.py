"""What every chat template keeps to, as checks that a test suite and a command run alike, on a template and its facts.

Each check is a function that takes a `Subject` and yields what it finds wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.errors import DataError
from tunesmith.types import Conversation, Message, Sampling

from tunesmith_library_chat.conversations import CASES
from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.rereading import answers_are_read_back
from tunesmith_library_chat.sources import fill_in
from tunesmith_library_chat.subjects import Check, Finding, Subject
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import LEARNT_THOUGHTS
from tunesmith_library_chat.tokenizing import tokenize


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
    if not subject.has_tools:
        for name in ("call", "tools_multi"):
            if (taken := _or_refused(subject, name)) is not None:
                yield Finding("tools should be refused, for the facts name no format of calls", name, found=taken.text)
        return
    rendered = _or_refused(subject, "call")
    if rendered is None:
        yield Finding("tools are refused", "call")
        return
    for what, text in {"tool's description": "Count the waves on a beach.", "tool's result": "7042"}.items():
        if text not in rendered.text:
            yield Finding(f"the {what} is missing", "call", found=rendered.text)
    parted = [_in_parts(message) if message["role"] == "tool" else message for message in CASES["call"].messages]
    found = subject.render(parted, **CASES["call"].arguments).text
    if found != rendered.text:
        yield Finding("a result in two parts of text is written otherwise", "call", rendered.text, found)
    calls = [rendered.text[span.start : span.end] for span in rendered.spans if span.message == 1]
    if not calls or not any(written in calls[0] for written in ("Rügen", r"R\u00fcgen")):
        yield Finding("the call is not part of what the assistant says", "call", found=rendered.text)


def _in_parts(message: Message) -> Message:
    """A message whose text is in two parts."""
    half = len(message["content"]) // 2
    texts = (message["content"][:half], message["content"][half:])
    return {**message, "content": [{"type": "text", "text": text} for text in texts]}


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
