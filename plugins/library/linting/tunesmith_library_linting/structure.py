"""Rows that say nothing, roles in a wrong order, answers that do not differ, labels of one kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from tunesmith.types import Message, Row

from .findings import Finding, Item, RowCheck, Severity
from .texts import conversations, text_of, threads

_CALLS = re.compile(r"\b(tool call|arguments of|tools|a tool)\b")
_MOST_UNEQUAL = 4  # times as many labels of one kind as of the other
_INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff\u00ad]*")


class Readable(RowCheck):
    """Records that their format does not read; what is wrong with their calls is told as such."""

    name: ClassVar[str] = "format"
    says: ClassVar[str] = "the format of the set cannot read the record"
    mends: ClassVar[str] = "leaves it out"

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is None and not _CALLS.search(item.fault):
                yield self.finding(item, "error", item.fault)


class UnreadableCalls(RowCheck):
    """Records that their format does not read because of their tools or calls."""

    name: ClassVar[str] = "tool_call"
    says: ClassVar[str] = "a call or a tool is no JSON, or not what its schema asks for"
    mends: ClassVar[str] = "leaves it out"

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is None and _CALLS.search(item.fault):
                yield self.finding(item, "error", item.fault)


class Empty(RowCheck):
    """Rows, messages and answers without a visible character."""

    name: ClassVar[str] = "empty"
    says: ClassVar[str] = "a text, a question or an answer says nothing"
    mends: ClassVar[str] = "leaves it out"

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        if isinstance(row.get("text"), str):
            if _blank(row["text"]):
                yield "error", "the text is empty"
            return
        found = conversations(row)
        if not any(found.values()):
            yield "error", "there are no messages"
        for column, messages in found.items():
            for index, message in enumerate(messages):
                if _says_nothing(message):
                    yield "error", f"{column}[{index}]: the message of {message['role']} is empty"
            if not messages and any(found.values()):
                yield "error", f"`{column}` has no messages"


class Unanswered(RowCheck):
    """Rows that ask and have no answer, in a set whose other rows have one."""

    name: ClassVar[str] = "empty"
    says: ClassVar[str] = Empty.says
    mends: ClassVar[str] = Empty.mends

    def __init__(self) -> None:
        self._answered: set[str] = set()
        self._open: list[Finding] = []

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            row = item.content or {}
            if conversations(row).keys() == {"prompt"}:
                self._open.append(self.finding(item, "error", "there is no answer, and other rows of the set have one"))
            elif row:
                self._answered.add(item.data)
        return iter(())

    def finish(self) -> Iterator[Finding]:
        return (finding for finding in self._open if finding.data in self._answered)


class RoleOrder(RowCheck):
    """Conversations in which nobody could have spoken so."""

    name: ClassVar[str] = "role_order"
    says: ClassVar[str] = "the roles of a conversation do not follow each other"
    mends: ClassVar[str] = "leaves it out"

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        seen = set()
        for column, messages in threads(row).items():
            for fault in _order(messages, column):
                if fault not in seen:  # both answers of a pair follow the same prompt
                    seen.add(fault)
                    yield fault


class SameAnswers(RowCheck):
    """Pairs whose answers are one."""

    name: ClassVar[str] = "same_answers"
    says: ClassVar[str] = "the chosen answer is the rejected one"
    mends: ClassVar[str] = "leaves it out"

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        if "chosen" in row and "rejected" in row:
            better, worse = ([_said(message) for message in row[name]] for name in ("chosen", "rejected"))
            if better == worse:
                yield "error", "chosen and rejected are the same; there is nothing to prefer"


class Labels:
    """How many answers are marked desirable and undesirable."""

    name: ClassVar[str] = "labels"
    says: ClassVar[str] = f"of one label there are over {_MOST_UNEQUAL} times as many as of the other"
    mends: ClassVar[str] = ""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[bool]] = {}

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            label = (item.content or {}).get("label")
            if isinstance(label, bool):
                self._counts.setdefault(item.data, Counter())[label] += 1
        return iter(())

    def finish(self) -> Iterator[Finding]:
        for data, counts in self._counts.items():
            good, bad = counts[True], counts[False]
            if max(good, bad) > _MOST_UNEQUAL * min(good, bad) and good + bad > 1:
                severity: Severity = "warning" if min(good, bad) else "error"
                message = f"{good:,} answers are marked desirable, {bad:,} undesirable"
                advice = "; weigh them against each other" if min(good, bad) else "; there is nothing to tell apart"
                yield Finding(self.name, severity, message + advice, data)


def _blank(text: str) -> bool:
    return _INVISIBLE.fullmatch(text) is not None


def _says_nothing(message: Message) -> bool:
    """Whether a message has neither text nor media nor calls; a tool may have nothing to say."""
    content = message.get("content")
    has_media = isinstance(content, list) and any(part.get("type") != "text" for part in content)
    said = has_media or message.get("tool_calls") or message["role"] == "tool"
    return not said and _blank(text_of(message))


def _said(message: Message) -> tuple[str, str, str]:
    return message["role"], " ".join(text_of(message).split()), str(message.get("tool_calls") or "")


def _order(messages: Sequence[Message], column: str) -> Iterator[tuple[Severity, str]]:
    """What is wrong with the roles of a conversation; `column` is where it ends."""
    before = None
    for index, message in enumerate(messages):
        role = message["role"]
        fault = _misplaced(role, before, index)
        if fault:
            yield fault
        before = message
    last = messages[-1]["role"] if messages else None
    spoken = {message["role"] for message in messages}
    if column == "prompt":
        if last == "assistant":
            yield "error", "the prompt ends with an answer, so that none can follow"
    elif "assistant" not in spoken and messages:
        yield "error", "nobody answers: there is no message of assistant"
    elif last != "assistant" and messages:
        yield "warning", f"the conversation ends with a message of {last}, which nothing is learned from"


def _misplaced(role: str, before: Message | None, index: int) -> tuple[Severity, str] | None:
    """What is wrong with the place of a message behind the one before."""
    former = before["role"] if before else None
    called = former == "tool" or bool(before and before.get("tool_calls"))
    if role == "system" and index:
        return "error", f"message {index}: a system message stands behind {former}, not at the beginning"
    if role == "tool" and not called:
        return "error", f"message {index}: a tool gives a result, and {former or 'nobody'} has called none"
    if role in ("user", "assistant") and role == former:
        return "error", f"message {index}: {role} speaks twice in a row"
    if role == "assistant" and former in (None, "system"):
        return "warning", f"message {index}: the assistant speaks first"
    if role == "user" and before and former == "assistant" and before.get("tool_calls"):
        return "warning", f"message {index}: the call before has no result"
    return None
