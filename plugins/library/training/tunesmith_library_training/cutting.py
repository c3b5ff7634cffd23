"""Where a conversation that has too many tokens is cut: in what somebody says, never in what the template writes.

A cut within an answer leaves its beginning, which is trained; nothing ends it, so that the model is not taught to stop
there. Free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.types import Row
from tunesmith_library_chat import ChatTemplate, Rendered

from tunesmith_library_training.turns import contents_of, marks_of, openings_of


@dataclass(frozen=True)
class Cut:
    """What is kept of a conversation."""

    tokens: int  # the first ones
    unfinished: bool = False  # whether they end within an answer


def cut_of(
    row: Row, rendered: Rendered, encoding: Any, most: int, template: ChatTemplate, *, turns: bool = False
) -> Cut:
    """Cut a conversation behind at most `most` tokens.

    The cut falls into what is said, or behind it, and through no character. Where only marks would be left of a turn it
    falls behind what is said in the turn before. No mark of thoughts and calls is cut through, and none that begins
    them is the last thing that is left.

    Args:
        encoding: of the rendered text, more than `most` tokens, with offsets.
        turns: cut behind the last answer that is whole.
    """
    place, spans = _character(encoding, most), rendered.spans
    if turns:
        return Cut(_through_answer(encoding, max((s.end for s in spans if s.end <= place), default=0), most))
    span = next((span for span in spans if span.start < place < span.end), None)
    if span is not None:
        tokens, place = _within(rendered.text, span.start, place, encoding, most, template)
        if rendered.text[span.start : place].strip():
            return Cut(tokens, unfinished=True)
        place = span.start
    ranges = [(start, end, False) for start, end in contents_of(row, rendered, template).values()]
    ranges += [(span.start, span.end, True) for span in spans]
    for start, end, answer in sorted(ranges, reverse=True):
        if start < place:
            tokens = (_through_answer if answer else _tokens_before)(encoding, min(place, end), most)
            if _end(encoding, tokens) > start:
                return Cut(tokens)
    return Cut(0)


def _within(text: str, start: int, place: int, encoding: Any, most: int, template: ChatTemplate) -> tuple[int, int]:
    """How many tokens are kept of a conversation that is cut within an answer, and the place behind them.

    Args:
        start: of the answer.
        place: at which it is to be cut, or before.
    """
    while True:
        place = _before_marks(text, start, place, template)
        tokens = _tokens_before(encoding, place, most)
        behind = _end(encoding, tokens)
        if place <= start or behind >= place:
            return tokens, place
        place = behind  # a token goes across the place


def _through_answer(encoding: Any, end: int, most: int) -> int:
    """How many tokens hold an answer to its end: one that goes across it belongs to it."""
    tokens = _tokens_before(encoding, end, most)
    crosses = end and tokens < most and _end(encoding, tokens) < end
    return tokens + 1 if crosses else tokens


def _end(encoding: Any, tokens: int) -> int:
    """The place behind the first tokens."""
    characters = encoding.token_to_chars(tokens - 1) if tokens else None
    return int(characters[1]) if characters else 0


def _character(encoding: Any, token: int) -> int:
    """The first character of a token, or of the next one before it that has any."""
    for index in range(token, -1, -1):
        characters = encoding.token_to_chars(index)
        if characters is not None:
            return int(characters[0])
    return 0


def _tokens_before(encoding: Any, place: int, most: int) -> int:
    """How many of the first `most` tokens hold only characters before a place."""
    for index in range(most, 0, -1):
        characters = encoding.token_to_chars(index - 1)
        if characters is not None and characters[1] <= place:
            return index
    return 0


def _before_marks(text: str, start: int, place: int, template: ChatTemplate) -> int:
    """A place neither within a mark nor behind one that begins a thought or calls; the answer begins at `start`."""
    marks, openings = marks_of(template), openings_of(template)
    while place > start:
        moved = min((at for mark in marks if (at := _through(text, mark, start, place)) >= 0), default=place)
        moved = _before_opening(text, start, moved, openings)
        if moved == place:
            break
        place = moved
    return place


def _through(text: str, mark: str, start: int, place: int) -> int:
    """Where a mark begins that a cut would go through; -1 where there is none."""
    return text.find(mark, max(start, place - len(mark) + 1), place + len(mark) - 1)


def _before_opening(text: str, start: int, place: int, openings: Sequence[str]) -> int:
    said = text[start:place].rstrip()
    mark = next((mark for mark in openings if said.endswith(mark)), None)
    return place if mark is None else start + len(said) - len(mark)
