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
    place = _character(encoding, most)
    if turns:
        ends = [span.end for span in rendered.spans if span.end <= place]
        return Cut(_tokens_before(encoding, max(ends, default=0), most))
    span = next((span for span in rendered.spans if span.start < place < span.end), None)
    if span is not None:
        place = _before_marks(rendered.text, span.start, place, template)
        if rendered.text[span.start : place].strip():
            return Cut(_tokens_before(encoding, place, most), unfinished=True)
        place = span.start
    said = [*contents_of(row, rendered, template).values(), *((span.start, span.end) for span in rendered.spans)]
    ends = [min(place, end) for start, end in said if start < place]
    return Cut(_tokens_before(encoding, max(ends, default=0), most))


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
