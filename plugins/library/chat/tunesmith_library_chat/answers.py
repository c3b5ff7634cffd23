"""An answer's text, taken apart while it arrives: what is thought, what is said, and which tools are called.

However the text is cut into pieces, what comes out is, joined, the same: whatever may turn out to be the beginning of a
mark, or white space that a mark swallows, is held back until it is certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.types import Message, ToolCall

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import Call, Types
from tunesmith_library_chat.thoughts import Thinking


@dataclass(frozen=True)
class Parts:
    """What new text of an answer is."""

    text: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.text + other.text, self.thought + other.thought, self.calls + other.calls)


class AnswerReader:
    """Reads one answer: text in, parts out.

    Args:
        calls: how the model calls tools; None: it does not.
        thinking: how it thinks; None: it does not.
        types: of the tools' parameters; see `declared`.
        thought: whether the prompt began a thought, within which the answer starts.
    """

    def __init__(
        self, calls: CallFormat | None, thinking: Thinking | None, types: Types | None = None, *, thought: bool = False
    ) -> None:
        self._calls, self._thinking, self._types = calls, thinking, types or {}
        self._mode: Literal["text", "thought", "calls"] = "thought" if thought and thinking else "text"
        self._held = ""
        self._mark = ""  # what began the block of calls that is being read
        self._from = 0  # where in the block its end is looked for
        self._starts = calls.starts if calls else ()  # what may still begin the answer
        self._trims = True  # white space that comes next is a mark's
        self._said = False  # whether there was text since the start or the last mark
        self._count = 0  # calls

    @property
    def marks(self) -> tuple[str, ...]:
        """All strings that tell a part of an answer from another."""
        calls = self._calls
        thoughts = (self._thinking.open, self._thinking.close) if self._thinking else ()
        return (*thoughts, *((*calls.open, *calls.close, *calls.skips, *calls.inner) if calls else ()))

    def push(self, text: str) -> Parts:
        """Take new text; give what is certain by it."""
        self._held += text
        return self._run(final=False)

    def finish(self) -> Parts:
        """What was held back, at the end of the answer."""
        return self._run(final=True)

    def _run(self, final: bool) -> Parts:
        parts, steps = Parts(), {"text": self._text, "thought": self._thought, "calls": self._block}
        while True:
            found, goes_on = steps[self._mode](final)
            parts += found
            if not goes_on:
                return parts

    def _text(self, final: bool) -> tuple[Parts, bool]:
        if self._trims and (self._calls or self._thinking):
            self._trim(final)
        if self._starts and not self._started(final):
            return Parts(), False
        if not self._said and self._types and self._calls and self._calls.begins:
            verdict = self._calls.begins(self._held)
            if verdict:
                self._begin_block("", self._held)
                return Parts(), True
            if verdict is None and self._held and not final:
                return Parts(), False
        marks = self._marks()
        places = [(self._held.find(mark), -len(mark), mark) for mark in marks if mark in self._held]
        places = [place for place in places if not self._thinks_late(place[0], place[2])]
        if not places:
            return self._release(marks, final), False
        at, _, mark = min(places)
        if not final and any(mark != longer and longer.startswith(self._held[at:]) for longer in marks):
            return self._release(marks, final), False
        before, rest = self._held[:at].rstrip(), self._held[at + len(mark) :]
        if self._thinking and mark == self._thinking.open:
            self._mode, self._held, self._trims = "thought", rest, True
        elif self._calls and mark in self._calls.open:
            self._begin_block(mark, rest)
        else:
            self._held, self._trims = rest, True
        self._said = False
        return Parts(text=before), True

    def _started(self, final: bool) -> bool:
        """Leave out what the answer begins with and is no text; whether that is certain."""
        start = next((start for start in self._starts if self._held.startswith(start)), "")
        if not start and not final and any(start.startswith(self._held) for start in self._starts):
            return False
        self._held, self._starts = self._held[len(start) :], ()
        return True

    def _thinks_late(self, at: int, mark: str) -> bool:
        """Whether a mark of thoughts stands behind text, where it is text itself."""
        return bool(self._thinking and mark == self._thinking.open and self._held[:at].strip())

    def _thought(self, final: bool) -> tuple[Parts, bool]:
        assert self._thinking is not None
        if self._trims:
            self._trim(final)
        thought, close, rest = self._held.partition(self._thinking.close)
        if not close:
            released = self._release((self._thinking.close,), final)
            return Parts(thought=released.text), False
        self._mode, self._held, self._trims, self._said = "text", rest, True, False
        return Parts(thought=thought.rstrip()), True

    def _block(self, final: bool) -> tuple[Parts, bool]:
        assert self._calls is not None
        while ends := [(at, mark) for mark in self._calls.close if (at := self._held.find(mark, self._from)) >= 0]:
            at, mark = min(ends)
            calls, end = self._read(self._held[:at])
            if calls and not self._held[end:at].strip():
                return self._end_block(calls, self._held[at + len(mark) :]), True
            self._from = at + 1
        if not final:
            longest = max(map(len, self._calls.close), default=1)
            self._from = max(self._from, len(self._held) - longest + 1)
            return Parts(), False
        calls, end = ([], 0) if self._calls.closes else self._read(self._held)  # no mark ends the block
        if calls:
            return self._end_block(calls, self._held[end:]), True
        self._mode, self._trims, self._said = "text", False, True  # no calls after all: what stands there was said
        return Parts(text=self._mark), True

    def _read(self, body: str) -> tuple[list[Call], int]:
        """The calls that a block begins with, and where they end; without a mark, of declared tools alone."""
        assert self._calls is not None
        calls, end = self._calls.read(body, self._types)
        return (calls, end) if self._mark or all(call.name in self._types for call in calls) else ([], 0)

    def _begin_block(self, mark: str, body: str) -> None:
        self._mode, self._mark, self._held, self._from = "calls", mark, body, 0

    def _end_block(self, calls: Sequence[Call], rest: str) -> Parts:
        self._mode, self._held, self._trims, self._said = "text", rest, True, False
        told = [ToolCall(index, call.name, call.json, call.id) for index, call in enumerate(calls, start=self._count)]
        self._count += len(told)
        return Parts(calls=tuple(told))

    def _marks(self) -> tuple[str, ...]:
        """What may come in the text here."""
        calls = (*self._calls.open, *self._calls.skips) if self._calls else ()
        return (*calls, self._thinking.open) if self._thinking and not self._said else calls

    def _trim(self, final: bool) -> None:
        self._held = self._held.lstrip()
        self._trims = not self._held

    def _release(self, marks: Sequence[str], final: bool) -> Parts:
        """What cannot be the beginning of a mark, nor white space before one."""
        kept = 0
        if not final and marks:
            beginnings = (mark[:length] for mark in marks for length in range(1, len(mark)))
            kept = max((len(part) for part in beginnings if self._held.endswith(part)), default=0)
            shown = self._held[: len(self._held) - kept]
            kept += len(shown) - len(shown.rstrip())
        shown, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        self._said = self._said or bool(shown)
        return Parts(text=shown)


def declared(tools: Sequence[Mapping[str, Any]] | None) -> Types:
    """The types that tools declare for their parameters."""
    found = {}
    for tool in tools or ():
        function = tool.get("function") or tool
        properties = (function.get("parameters") or {}).get("properties") or {}
        types = {key: value.get("type") for key, value in properties.items() if isinstance(value, Mapping)}
        found[str(function.get("name"))] = {key: kind for key, kind in types.items() if isinstance(kind, str)}
    return found


def message_of(parts: Parts) -> Message:
    """A whole answer as a message."""
    message: Message = {"role": "assistant", "content": parts.text}
    if parts.thought:
        message["reasoning"] = parts.thought
    if parts.calls:
        message["tool_calls"] = [_as_message(call) for call in parts.calls]
    return message


def _as_message(call: ToolCall) -> dict[str, Any]:
    made = {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    return {"id": call.id, **made} if call.id else made
