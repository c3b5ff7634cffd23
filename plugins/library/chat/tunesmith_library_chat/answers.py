"""An answer's text, taken apart while it arrives: what is thought, what is said, and which tools are called.

However the text is cut into pieces, what comes out is, joined, the same: whatever may turn out to be the beginning of a
mark, or white space that a mark swallows, is held back until it is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.types import Message, ToolCall

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.declarations import Types
from tunesmith_library_chat.framing import NO_FRAME, Frame
from tunesmith_library_chat.shapes import Call
from tunesmith_library_chat.thoughts import Thinking


@dataclass(frozen=True)
class Parts:
    """What new text of an answer is."""

    text: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()

    def __add__(self, other: Parts) -> Parts:
        return Parts(self.text + other.text, self.thought + other.thought, self.calls + other.calls)


@dataclass
class Joint:
    """What stands between two pieces of what is said, or thought, where something else parts them."""

    space: str = ""  # white space that was held back
    parted: bool = False
    begun: bool = False  # whether there is a piece before

    def join(self, text: str) -> str:
        """The next piece, behind the white space that parts it from the one before; a line break where none does."""
        if not text:
            return ""
        between = (self.space or ("\n" if self.parted else "")) if self.begun else ""
        self.space, self.parted, self.begun = "", False, True
        return between + text


class AnswerReader:
    """Reads one answer: text in, parts out.

    Args:
        calls: how the model calls tools; None: it does not.
        thinking: how it thinks; None: it does not.
        types: what the tools declare; see `declared`.
        thought: whether the prompt began a thought, within which the answer starts.
        frame: what stands around what it says.
    """

    def __init__(
        self,
        calls: CallFormat | None,
        thinking: Thinking | None,
        types: Types | None = None,
        *,
        thought: bool = False,
        frame: Frame = NO_FRAME,
    ) -> None:
        self._calls, self._thinking, self._types, self._frame = calls, thinking, types or {}, frame
        self._mode: Literal["text", "thought", "calls"] = "thought" if thought and thinking else "text"
        self._held = ""
        self._mark = ""  # what began the block of calls that is being read
        self._from = 0  # where in the block its end is looked for
        self._trims = bool(calls or thinking)  # white space that comes next stands behind a mark, or at the beginning
        self._said = False  # whether there was text since the start or the last mark
        self._headed = False  # whether there was the head of a frame since then
        self._text_before, self._thought_before = Joint(), Joint()
        self._count = 0  # calls

    @property
    def marks(self) -> tuple[str, ...]:
        """All strings that tell a part of an answer from another."""
        calls, frame = self._calls, (*self._frame.heads, *filter(None, [self._frame.mark]))
        thoughts = (self._thinking.open, self._thinking.close) if self._thinking else ()
        return (*thoughts, *frame, *((*calls.open, *calls.close, *calls.skips, *calls.inner) if calls else ()))

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
        if self._trims:
            self._trim(self._text_before)
        if not self._said and self._begins(final) is None:
            return Parts(), False
        if self._mode == "calls":
            return Parts(), True
        marks = self._marks()
        places = [(self._held.find(mark), -len(mark), mark) for mark in marks if mark in self._held]
        places = [place for place in places if not self._thinks_late(place[0], place[2])]
        if not places:
            return self._release(marks, final), False
        at, _, mark = min(places)
        if not final and any(mark != longer and longer.startswith(self._held[at:]) for longer in marks):
            return self._release(marks, final), False
        before, rest = self._unframed(self._held[:at]), self._held[at + len(mark) :]
        parts = Parts(text=self._say(before.rstrip()))
        self._text_before.space += before[len(before.rstrip()) :]
        self._said = False
        if self._calls and mark in self._calls.open:
            self._begin_block(mark, rest)
        else:
            self._mode = "thought" if self._thinking and mark == self._thinking.open else "text"
            self._behind_mark(rest)
        return parts, True

    def _begins(self, final: bool) -> bool | None:
        """Take off what stands before what is said, and see whether calls without a mark begin; None: not certain."""
        heads = () if self._headed else self._frame.heads
        close = self._thinking.close if self._thinking and not self._headed else ""
        while close and self._held.startswith(close):
            self._held = self._held.removeprefix(close)
            self._trim(self._text_before)
        longer = [mark for mark in (close, *heads) if mark != self._held and mark.startswith(self._held)]
        if longer and self._held and not final:
            return None
        if head := next((head for head in heads if self._held.startswith(head)), ""):
            self._held, self._headed = self._held.removeprefix(head), True
            self._trim(self._text_before)
        if not (self._types and self._calls and self._calls.begins):
            return False
        begun = self._calls.begins(self._held)
        if begun:
            self._begin_block("", self._held)
        return begun if begun is not None or (self._held and not final) else False

    def _thinks_late(self, at: int, mark: str) -> bool:
        """Whether a mark of thoughts stands behind text, where it is text itself."""
        return bool(self._thinking and mark == self._thinking.open and self._held[:at].strip())

    def _thought(self, final: bool) -> tuple[Parts, bool]:
        assert self._thinking is not None
        if self._trims:
            self._trim(self._thought_before)
        thought, close, rest = self._held.partition(self._thinking.close)
        if not close:
            return Parts(thought=self._thought_before.join(self._certain((self._thinking.close,), final))), False
        self._mode, self._said = "text", False
        self._behind_mark(rest)
        parts = Parts(thought=self._thought_before.join(thought.rstrip()))
        self._thought_before.parted = True
        return parts, True

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
        return Parts(text=self._say(self._mark)), True

    def _read(self, body: str) -> tuple[list[Call], int]:
        """The calls that a block begins with, and where they end; without a mark, of declared tools alone."""
        assert self._calls is not None
        calls, end = self._calls.read(body, self._types)
        return (calls, end) if self._mark or all(call.name in self._types for call in calls) else ([], 0)

    def _begin_block(self, mark: str, body: str) -> None:
        self._mode, self._mark, self._held, self._from = "calls", mark, body, 0

    def _end_block(self, calls: Sequence[Call], rest: str) -> Parts:
        self._mode, self._said = "text", False
        self._behind_mark(rest)
        told = [
            ToolCall(index, _as_text(call.name), call.json, _as_text(call.id))
            for index, call in enumerate(calls, start=self._count)
        ]
        self._count += len(told)
        return Parts(calls=tuple(told))

    def _behind_mark(self, rest: str) -> None:
        self._held, self._trims, self._headed, self._text_before.parted = rest, True, False, True

    def _marks(self) -> tuple[str, ...]:
        """What may come in the text here."""
        calls = (*self._calls.open, *self._calls.skips) if self._calls else ()
        return (*calls, self._thinking.open) if self._thinking and not self._said else calls

    def _trim(self, before: Joint) -> None:
        text = self._held.lstrip()
        before.space += self._held[: len(self._held) - len(text)]
        self._held, self._trims = text, not text

    def _say(self, text: str) -> str:
        self._said = self._said or bool(text)
        return self._text_before.join(text)

    def _release(self, marks: Sequence[str], final: bool) -> Parts:
        """The text that is certain; at the end all of it but what stands behind every answer."""
        if not final:
            return Parts(text=self._say(self._certain((*marks, self._frame.mark), final)))
        shown, self._held = self._unframed(self._held).removesuffix(self._frame.tail), ""
        return Parts(text=self._say(shown))

    def _unframed(self, text: str) -> str:
        """Text without the mark that stands behind what is said."""
        said = text.rstrip()
        return (
            said.removesuffix(self._frame.mark).rstrip()
            if self._frame.mark and said.endswith(self._frame.mark)
            else text
        )

    def _certain(self, marks: Sequence[str], final: bool) -> str:
        """Take what cannot be the beginning of a mark, nor white space before one."""
        kept = 0
        if not final:
            beginnings = (mark[:length] for mark in marks for length in range(1, len(mark)))
            kept = max((len(part) for part in beginnings if self._held.endswith(part)), default=0)
            shown = self._unframed(self._held[: len(self._held) - kept])
            kept = len(self._held) - len(shown.rstrip() if marks else shown)
        shown, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return shown


def _as_text(name: str) -> str:
    """A name without halves of surrogate pairs, which nothing can send."""
    return name.encode("utf-8", "replace").decode()


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
