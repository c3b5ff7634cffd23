"""What a comparison found, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """One part of two models, compared."""

    name: str
    equal: bool | None  # None: it could not be compared
    summary: str
    lines: Sequence[str] = ()  # what differs, in words
    facts: Mapping[str, Any] = field(default_factory=dict)  # everything that was found, for programs

    def as_json(self) -> dict[str, Any]:
        return {"equal": self.equal, "summary": self.summary, **self.facts}


@dataclass(frozen=True)
class Found:
    """All parts of two models, A and B."""

    first: str
    second: str
    parts: tuple[Part, ...]

    @property
    def equal(self) -> bool:
        """Whether every part was compared, and none differs."""
        return all(part.equal for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        parts = {part.name: part.as_json() for part in self.parts}
        return {"a": self.first, "b": self.second, "equal": self.equal, "parts": parts}


def some(names: Sequence[str], count: int = 3) -> str:
    """The first of some names, and how many there are beside them."""
    shown = ", ".join(names[:count])
    return f"{shown} and {len(names) - count} more" if len(names) > count else shown
