"""What a job may do: some of the program's own commands, with paths in the workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_library_studio.workspace import Workspace

COMMANDS = ("train", "export", "eval", "predict", "data", "diff", "plot", "verify")
"""Those that a client may name; others serve, ask at a terminal, or are over at once."""

_SHORT = re.compile(r"-\w+?((?:/|~|\.\.(?:/|$)).*)")
"""Short options with a path behind them: `-o/tmp/a`, also several: `-qo../a`."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")


def refuse_outside(command: Sequence[str], workspace: Workspace) -> None:
    """Refuse a command that is no job's, or one of whose words is a path out of the workspace.

    Raises: TunesmithError, OutsideWorkspace.
    """
    name = command[0] if command else ""
    if name not in COMMANDS:
        raise TunesmithError(f"{name or 'no command'}: no command of a job.\n{choices(name, COMMANDS, 'possible')}")
    for path in (path for word in command[1:] for path in _paths(word)):
        if path.startswith(("/", "~")) or ".." in path.split("/"):
            workspace.path(path)


def _paths(word: str) -> Iterator[str]:
    """What may be paths in a word of a command: all of it, what an option or key is set to, and the texts in that."""
    if short := _SHORT.fullmatch(word):
        yield short[1]
    for value in {word, word.partition("=")[2]}:
        yield from _local(value)
        for part in re.split(r"[\[\]{},\s'\"]+|:\s", value):
            yield from _local(part)
        try:
            yield from (path for text in _texts(yaml.safe_load(value)) for path in _local(text))
        except yaml.YAMLError:
            continue


def _local(text: str) -> Iterator[str]:
    """A text, and the path of one such as `file:///etc`."""
    yield text.strip()
    scheme = _ADDRESS.match(text)
    if scheme and scheme[0] == "file://":
        yield text[scheme.end() :]


def _texts(value: Any) -> Iterator[str]:
    """Every text in what YAML says; what it repeats by its aliases, once."""
    left, seen = [value], set[int]()
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict | list) and id(one) not in seen:
            seen.add(id(one))
            left += [*one, *one.values()] if isinstance(one, dict) else one
