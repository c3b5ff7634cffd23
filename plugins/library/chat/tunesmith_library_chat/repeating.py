"""Renderings done again: what a template writes of one conversation tells what it writes of others of the same shape.

A conversation is rendered once with texts that note what becomes of them (`traced`), and compared with its rendering.
Another one with the same roles, tools and variables, whose texts answer what the template asked of them alike, is then
put together from the same pieces, without the template. Where a template does with a text what cannot be noted, every
conversation is rendered.
"""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.types import Message

from tunesmith_library_chat import sources
from tunesmith_library_chat.sandbox import LONGEST
from tunesmith_library_chat.sources import MARKS, environment_of, fill_in
from tunesmith_library_chat.spans import Marks
from tunesmith_library_chat.traced import Edge, Guard, Made, Notes, Piece, Traced, Untraceable
from tunesmith_library_chat.tracing import TracedMarks, TracingEnvironment

Found = tuple[str, list[tuple[int, int]]]
"""A text, and the ranges of it that the template marks as the assistant's."""

_KINDS = 8  # of conversations of one shape, by the answers to what a template asks
_SHAPES = 512
_LONGEST_SHAPE = 1 << 16  # characters
_MOST_TEXT = 1 << 20  # characters of a conversation
_SIMPLE = frozenset({str, int, float, bool, type(None)})
_THOUGHTS = ("reasoning", "reasoning_content", "thinking")  # of messages, that all hold the same text


def render(source: str, turns: Sequence[Message], variables: Mapping[str, Any], *, marks: bool) -> Found:
    """What a template makes of a conversation.

    Args:
        turns: in canonical form.
        marks: whether it is to mark what the assistant says; without, the ranges are none.

    Raises: what `fill_in` raises.
    """
    known = _renderings(source)
    place = _place(turns, variables, marks) if known else None
    if known is None or place is None:
        return _rendered(source, turns, variables, marks)
    shape, texts = place
    found = known.write(shape, texts)
    if found is None:
        found = _rendered(source, turns, variables, marks)
        known.learn(shape, texts, turns, variables, found)
    return found


def _rendered(source: str, turns: Sequence[Message], variables: Mapping[str, Any], marked: bool) -> Found:
    values = {**variables, "messages": list(turns)}
    if not marked:
        return fill_in(source, values), []
    marks = Marks()
    text = fill_in(source, {**values, MARKS: marks})
    if marks.forged_in(text):
        marks = marks.absent_from(text)
        text = fill_in(source, {**values, MARKS: marks})
    return marks.read(text)


@dataclass(frozen=True)
class Shape:
    """What a template sees of a conversation beside its texts: these differ where anything else does."""

    turns: tuple[Any, ...]
    variables: str
    marked: bool


@dataclass(frozen=True)
class _Kind:
    """What becomes of conversations that answer alike what the template asks of them."""

    pieces: tuple[Piece, ...]
    guards: tuple[Guard, ...]
    day: datetime.date | None  # on which it holds

    def write(self, texts: Sequence[str]) -> Found | None:
        """The text, and where the assistant speaks; None for a conversation of another kind."""
        try:
            if not all(guard.holds(texts) for guard in self.guards):
                return None
            found = self._written(texts)
        except (IndexError, ValueError):
            return None
        return found if self.day is None or self.day == sources.now().date() else None

    def _written(self, texts: Sequence[str]) -> Found | None:
        found: list[str] = []
        edges: list[int] = []
        length = 0
        for piece in self.pieces:
            if isinstance(piece, Edge):
                edges.append(length)
                continue
            text = piece if isinstance(piece, str) else piece.of(texts)
            length += len(text)
            found.append(text)
        if length > LONGEST:
            return None
        return "".join(found), list(zip(edges[::2], edges[1::2], strict=True))


@dataclass
class _Renderings:
    """What was learned of one template."""

    source: str
    shapes: dict[Shape, tuple[_Kind, ...] | None] = field(default_factory=dict)  # None: its texts cannot be traced

    def write(self, shape: Shape, texts: Sequence[str]) -> Found | None:
        """A rendering of a known kind."""
        for kind in self.shapes.get(shape) or ():
            if (written := kind.write(texts)) is not None:
                return written
        return None

    def learn(
        self,
        shape: Shape,
        texts: Sequence[str],
        turns: Sequence[Message],
        variables: Mapping[str, Any],
        found: Found,
    ) -> None:
        """Trace a rendering that is of no known kind, `found`, when its shape comes again."""
        if shape not in self.shapes:  # what comes once is not traced
            if len(self.shapes) >= _SHAPES:
                for oldest in list(self.shapes)[:1]:
                    self.shapes.pop(oldest, None)
            self.shapes[shape] = ()
            return
        kinds = self.shapes.get(shape)
        if kinds is None or len(kinds) >= _KINDS:
            return
        try:
            kind = self._trace(turns, variables, shape.marked)
            self.shapes[shape] = (*kinds, kind) if kind.write(texts) == found else None
        except Exception:  # whatever it is, the rendering itself went well
            self.shapes[shape] = None

    def _trace(self, turns: Sequence[Message], variables: Mapping[str, Any], marked: bool) -> _Kind:
        template, notes = _traceable(self.source), Notes()
        if template is None:
            raise Untraceable("the template cannot be compiled so")
        values = {**variables, "messages": _traced(turns, notes), **({MARKS: TracedMarks(notes)} if marked else {})}
        text = template.environment.traced(template, values, notes)
        pieces = text._pieces if isinstance(text, Traced) else (text,) if text else ()
        return _Kind(pieces, tuple(notes.guards), notes.day)


@functools.lru_cache(maxsize=64)
def _renderings(source: str) -> _Renderings | None:
    """What is learned of a template; None for one that could look at its marks."""
    return None if MARKS in source else _Renderings(source)


@functools.lru_cache(maxsize=64)
def _traceable(source: str) -> Any:
    """A template compiled for tracing; None for one that cannot be."""
    environment = environment_of(TracingEnvironment)
    environment.prepared()
    try:
        return environment.from_string(source)
    except Exception:  # the faults of templates are told where they are rendered
        return None


def _place(turns: Sequence[Message], variables: Mapping[str, Any], marked: bool) -> tuple[Shape, list[str]] | None:
    """The shape of a conversation, and its texts; None for what no shape can stand for."""
    if not all(type(value) in _SIMPLE or _is_plain(value) for value in variables.values()):
        return None
    texts: list[str] = []

    def noted(text: str) -> Any:
        texts.append(text)
        return ...

    shape: list[Any] = []
    for turn in turns:
        if len(turn) == 2 and type(turn["content"]) is type(turn["role"]) is str and next(iter(turn)) == "role":
            texts.append(turn["content"])
            shape.append((turn["role"],))
        elif _is_plain(turn):
            shape.append(repr(_replaced(turn, noted)))
        else:
            return None
    given = repr(variables)
    if len(given) > _LONGEST_SHAPE or sum(map(len, texts)) > _MOST_TEXT:
        return None
    return Shape(tuple(shape), given, marked), texts


def _is_plain(value: Any) -> bool:
    """Whether a value's `repr` tells all of it."""
    waiting, left = [value], _LONGEST_SHAPE
    while waiting:
        item = waiting.pop()
        left -= 1
        if type(item) in _SIMPLE:
            continue
        if left < 0 or type(item) not in (dict, list, tuple):
            return False
        waiting += [*item, *item.values()] if isinstance(item, dict) else item
    return True


def _traced(turns: Sequence[Message], notes: Notes) -> list[Message]:
    slots = itertools.count()

    def traced(text: str) -> Traced:
        return Traced(text, (Made(next(slots)),), notes)

    return [_replaced(turn, traced) for turn in turns]


def _replaced(turn: Message, made: Callable[[str], Any]) -> Message:
    """A turn with other texts, in the order in which they stand in it."""
    changed, content = dict(turn), turn["content"]
    if isinstance(content, str):
        changed["content"] = made(content)
    elif isinstance(content, list):
        changed["content"] = [_part_replaced(part, made) for part in content]
    thought = next((turn[name] for name in _THOUGHTS if isinstance(turn.get(name), str)), None)
    if thought is not None:
        text = made(thought)
        changed |= {name: text for name in _THOUGHTS if turn.get(name) == thought}
    return changed


def _part_replaced(part: Any, made: Callable[[str], Any]) -> Any:
    has_text = isinstance(part, dict) and isinstance(part.get("text"), str)
    return {**part, "text": made(part["text"])} if has_text else part
