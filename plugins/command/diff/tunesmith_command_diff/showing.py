"""What was found, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tunesmith_command_diff.findings import Found, Part

_WIDTH = 80
_LINES = 40  # of one part
_NAME = 15


def shown(found: Found) -> str:
    """The report for a reader: a line for every part, what differs below it, and the verdict."""
    lines = [*_wrapped(f"A: {found.first}", "   "), *_wrapped(f"B: {found.second}", "   ")]
    for part in found.parts:
        lines += _shown(part)
    unknown = [part.name for part in found.parts if part.equal is None]
    other = [part.name for part in found.parts if part.equal is False]
    verdicts = [f"they differ: {', '.join(other)}"] if other else []
    verdicts += [f"not compared: {', '.join(unknown)}"] if unknown else []
    if not other:
        verdicts.append("the other parts are equal" if unknown else "equal")
    lines += _wrapped("; ".join(verdicts), "  ")
    return "\n".join(lines)


def _shown(part: Part) -> Iterator[str]:
    summary = part.summary if part.equal is not None else f"not compared: {part.summary}"
    yield from _wrapped(f"{part.name.ljust(_NAME)}{summary}", " " * _NAME)
    for line in part.lines[:_LINES]:
        yield from _wrapped(f"  {line}", "      ")
    if len(part.lines) > _LINES:
        yield f"  and {len(part.lines) - _LINES} more; --json has them all"


def _wrapped(text: str, indent: str) -> list[str]:
    words = text.lstrip()
    first = text[: len(text) - len(words)]
    return textwrap.wrap(words, _WIDTH, initial_indent=first, subsequent_indent=indent) or [text]
