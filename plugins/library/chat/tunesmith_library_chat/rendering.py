"""What is to be tokenised: text, what the assistant says in it, and what only looks like a control token."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith_library_chat.spans import Span
from tunesmith_library_chat.spelling import Control, Ranges, spelt

if TYPE_CHECKING:
    from tunesmith_library_media.expanding import Item


@dataclass(frozen=True)
class Rendered:
    """A conversation as text."""

    text: str
    spans: tuple[Span, ...]
    literal: Ranges = ()  # where the conversation spells control tokens, which are text there
    # of a text in which images, videos and sounds have their tokens (`tunesmith_library_media.expanding.expanded`):
    items: tuple[Item, ...] = ()  # where each of them stands, in the order of the text
    written: Rendered | None = None  # what the template wrote
    moved: Ranges = ()  # behind which of its characters all is moved, and by how many

    def moved_range(self, start: int, end: int) -> tuple[int, int]:
        """A range of what the template wrote, in this text."""
        ends = [end for end, _ in self.moved]
        by = [0, *(number for _, number in self.moved)]
        return start + by[bisect_right(ends, start)], end + by[bisect_right(ends, end)]


def written(text: str, control: Control) -> Rendered:
    """A text by itself, of which nothing is a template's; `control` are the tokens that are text in it."""
    return Rendered(text, (), spelt(text, control))
