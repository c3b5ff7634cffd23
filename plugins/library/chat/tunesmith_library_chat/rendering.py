"""What is to be tokenised: text, what the assistant says in it, and what only looks like a control token."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith_library_chat.spans import Span
from tunesmith_library_chat.spelling import Control, Ranges, spelt


@dataclass(frozen=True)
class Rendered:
    """A conversation as text."""

    text: str
    spans: tuple[Span, ...]
    literal: Ranges = ()  # where the conversation spells control tokens, which are text there


def written(text: str, control: Control) -> Rendered:
    """A text by itself, of which nothing is a template's; `control` are the tokens that are text in it."""
    return Rendered(text, (), spelt(text, control))
