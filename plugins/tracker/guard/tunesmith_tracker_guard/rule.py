"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith_tracker_guard.history import History
from tunesmith_tracker_guard.limits import Limits

MESSAGES = ("guard: {name} at step {step}: {what}", "what to try: {advice}")
"""What a `Finding` says, for catalogues of other languages."""


@dataclass(frozen=True)
class Told:
    """What is so, where the rule's own advice would mislead."""

    what: str
    advice: str


@dataclass(frozen=True)
class Rule:
    """Something that goes wrong in runs."""

    name: str
    look: Callable[[History, Limits], str | Told | None]  # what is so now; None when all is well
    advice: str  # what to try, where `look` says nothing else


@dataclass(frozen=True)
class Finding:
    """Something that is wrong now."""

    step: int
    name: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} at step {self.step}: {self.what}\n  what to try: {self.advice}"
