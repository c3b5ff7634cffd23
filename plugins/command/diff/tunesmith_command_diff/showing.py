"""What was found, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith.cli.languages import joined, translate
from tunesmith.cli.localized import wrapped
from tunesmith.cli.tables import cells

from tunesmith_command_diff.findings import Found, Part

_WIDTH = 80
_LINES = 40  # of one part
_NAME = 15

MESSAGES = (
    "files",
    "configuration",
    "tensors",
    "heads",
    "generation",
    "tokenizer",
    "template",
    "outputs",
    "equal",
    "differ",
    "differs",
)
"""The names of the parts, and what is said of them in one word."""


def shown(found: Found) -> str:
    """The report in the user's language: a line for every part, what differs below it, and the verdict."""
    lines = [*_wrapped("A: ", found.first, 3), *_wrapped("B: ", found.second, 3)]
    for part in found.parts:
        lines += _shown(part)
    unknown = [translate(part.name) for part in found.parts if part.equal is None]
    other = [translate(part.name) for part in found.parts if part.equal is False]
    verdicts = [translate(f"they differ: {joined(other, ', ')}")] if other else []
    verdicts += [translate(f"not compared: {joined(unknown, ', ')}")] if unknown else []
    if not other:
        verdicts.append(translate("the other parts are equal" if unknown else "equal"))
    lines += _wrapped("", joined(verdicts, "; "), 2)
    return "\n".join(lines)


def _shown(part: Part) -> Iterator[str]:
    name = translate(part.name)
    summary = part.summary if part.equal is not None else f"not compared: {part.summary}"
    yield from _wrapped(name + " " * (_NAME - cells(name)), translate(summary), _NAME)
    for line in part.lines[:_LINES]:
        yield from _wrapped("  ", translate(line), 6)
    if len(part.lines) > _LINES:
        yield translate(f"  and {len(part.lines) - _LINES} more; --json has them all")


def _wrapped(head: str, text: str, indent: int) -> Iterator[str]:
    """A text behind its head, with further lines that are indented."""
    first, *others = wrapped(text.strip(), _WIDTH - indent)
    inner = text[: len(text) - len(text.lstrip())]  # of a line of a text that is quoted
    yield f"{head}{inner}{first}"
    yield from (" " * indent + line for line in others)
