"""Text of rows that a template cuts as it cuts thoughts: before one in the middle of an answer, or around the marks of
thoughts that others spell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tunesmith.types import Message
from tunesmith_library_chat import Thinking


def marks_of(thinking: Thinking | None) -> re.Pattern[str]:
    """What matches a mark of a thought: the usual ones, and those of the template."""
    forms = [Thinking()] if thinking is None else [Thinking(), thinking]
    marks = dict.fromkeys(mark.strip() for form in forms for mark in (form.open, form.close))
    return re.compile("|".join(re.escape(mark) for mark in marks))


def texts_of(message: Message) -> list[str]:
    """The texts of a message: its content, or each part of it that is text."""
    content = message.get("content")
    parts = [part.get("text") for part in content] if isinstance(content, list) else [content]
    return [part for part in parts if isinstance(part, str)]


def cuts(messages: Sequence[Message], thoughts: Sequence[str], text: str, marks: re.Pattern[str]) -> tuple[bool, bool]:
    """Whether a rendered text lacks something of an answer, and of what a user or the system says, for marks in it.

    Args:
        thoughts: of each message, the one that precedes the answer, or "": whether it is written is asked elsewhere.
        text: what the template made of the messages.
        marks: of thoughts; a message without any is not cut.
    """
    held = [texts_of(message) for message in messages]
    if not any(marks.search(said) for texts in held for said in texts):
        return False, False
    said = [_behind(thought, texts, marks) for thought, texts in zip(thoughts, held, strict=True)]
    whole = [item for texts in said for item in texts]
    answers, others = False, False
    for message, texts in zip(messages, said, strict=True):
        marked = [item for item in texts if marks.search(item)]
        if message["role"] == "assistant":
            pieces: Iterator[str] = (piece.strip() for item in marked for piece in marks.split(item))
            answers |= any(_lacks(text, piece, whole) for piece in pieces)
        elif message["role"] in ("user", "system"):
            others |= any(_lacks(text, item.strip(), whole) for item in marked)
    return answers, others


def _behind(thought: str, texts: Sequence[str], marks: re.Pattern[str]) -> list[str]:
    """Texts of a message, the first without the thought that it begins with, if it does."""
    first = texts[0] if texts else ""
    before, found, rest = first.partition(thought) if thought else (first, "", "")
    begins = found != "" and not marks.sub("", before).strip()
    return [rest, *texts[1:]] if begins else list(texts)


def _lacks(text: str, piece: str, whole: Sequence[str]) -> bool:
    """Whether a text has a piece less often than those that it was made of."""
    return piece != "" and text.count(piece) < sum(said.count(piece) for said in whole)
