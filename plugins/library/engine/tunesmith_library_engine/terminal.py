"""A terminal to converse at: lines that can be edited, texts of several lines, and colours where they are wanted."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import click
from tunesmith.cli.languages import translate
from tunesmith.cli.output import framed
from tunesmith.errors import TunesmithError

QUOTES = '"""'
_OPENS = re.compile(rf"\s*(?:/(?P<command>\w+)\s+)?{QUOTES}(?P<text>.*)", re.DOTALL)
_COMMAND = re.compile(r"/(?P<command>\w+)(?:\s+(?P<text>.*))?", re.DOTALL)
_REMEMBERED = 1000  # lines of a history file


class Entered(NamedTuple):
    """What was entered: a command and what stands behind it, or text alone."""

    command: str
    text: str
    line: str = ""  # the whole of a line that reads as a command


class Terminal:
    """Reads what a user enters, at a terminal or from a pipe, and writes answers and notices.

    Args:
        commands: what completion knows, without slashes.
        history: the file that entered lines are kept in; None keeps them while the program runs.

    Raises: TunesmithError for a history file that cannot be written.
    """

    def __init__(self, commands: Sequence[str] = (), history: Path | None = None) -> None:
        self.interactive = sys.stdin.isatty()
        self._commands, self._history = commands, history
        self._lines: Any = _line_editor() if self.interactive else None
        if history is not None:
            _be_writable(history)

    def __enter__(self) -> Self:
        if self._lines:
            self._lines.clear_history()
            self._lines.set_completer_delims(" ")
            self._lines.set_completer(self._completed)
            self._lines.parse_and_bind("tab: complete")
            if self._history and self._history.stat().st_size:
                self._lines.read_history_file(self._history)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._lines:
            self._lines.set_completer(None)
            if self._history:
                self._lines.set_history_length(_REMEMBERED)
                self._lines.write_history_file(self._history)

    def read(self, prompt: str) -> Entered | None:
        """The next thing entered; None at the end of the input.

        What stands between two triple quotes, over any number of lines, is text, whatever it begins with.

        Raises: TunesmithError for a text whose quotes are not closed, and for bytes that are no text.
        """
        line = self._line(prompt)
        if line is None:
            return None
        if opened := _OPENS.fullmatch(line):
            return Entered(opened["command"] or "", _text(self._until_closed(opened["text"])))
        found = _COMMAND.fullmatch(_text(line.strip()))
        return Entered(found["command"], found["text"] or "", line.strip()) if found else Entered("", line.strip())

    def say(self, text: str) -> None:
        """Write a part of an answer."""
        click.echo(text, nl=False)

    def faint(self, text: str) -> None:
        """Write what is beside the answer's point, such as a thought."""
        click.echo(click.style(text, dim=True) if self.coloured else text, nl=False)

    def notice(self, text: str) -> None:
        """Say something about the conversation, which is no part of it: it goes to stderr."""
        told = translate(text)
        click.echo(click.style(told, dim=True) if coloured(sys.stderr) else told, err=True)

    def complain(self, text: str) -> None:
        """Say what is wrong: the first line, and indented below it what to do."""
        first, *rest = translate(text).splitlines() or [""]
        click.echo("\n".join([framed("error: …", first), *(f"  {line.strip()}" for line in rest)]), err=True)

    @property
    def coloured(self) -> bool:
        """Whether what is written can stand out by its colour."""
        return coloured(sys.stdout)

    def _until_closed(self, text: str) -> str:
        while not text.rstrip().endswith(QUOTES):
            more = self._line(". ")
            if more is None:
                raise TunesmithError(f"the text that {QUOTES} began has no end.\n  end it with {QUOTES}")
            text += "\n" + more
        return text.rstrip().removesuffix(QUOTES).strip("\n")

    def _line(self, prompt: str) -> str | None:
        try:
            return input(prompt if self.interactive else "")
        except EOFError:
            if self.interactive:
                click.echo()
            return None
        except UnicodeDecodeError as error:
            raise _no_text(error.object[error.start : error.end]) from None

    def _completed(self, text: str, state: int) -> str | None:
        commands = [f"/{name}" for name in self._commands if f"/{name}".startswith(text)] if text[:1] == "/" else []
        found = commands or _paths(text)
        return found[state] if state < len(found) else None


def coloured(stream: Any) -> bool:
    """Whether a stream is a terminal that shows colours, whose user wants them (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _text(entered: str) -> str:
    """What was entered. Raises: TunesmithError for bytes that are not UTF-8: they come as halves of surrogate pairs."""
    try:
        entered.encode()
    except UnicodeEncodeError as error:
        raise _no_text(entered[error.start : error.end]) from None
    return entered


def _no_text(found: object) -> TunesmithError:
    """What is said of what is not UTF-8."""
    return TunesmithError(
        f"this is no text in UTF-8, and nothing is done with it: {found!a}.\n"
        "set the terminal to UTF-8, or convert what is piped in: iconv -t utf-8"
    )


def _paths(beginning: str) -> list[str]:
    folder, _, name = beginning.rpartition("/")
    try:
        inside = sorted(Path(f"{folder}/" if beginning[:1] == "/" or folder else ".").expanduser().iterdir())
    except OSError:
        return []
    before = beginning[: len(beginning) - len(name)]
    return [before + path.name + "/" * path.is_dir() for path in inside if path.name.startswith(name)]


def _line_editor() -> Any:
    """The module that edits lines and keeps their history; None where Python comes without."""
    try:
        import readline
    except ImportError:
        return None
    return readline


def _be_writable(history: Path) -> None:
    """See that a history file is there, for its owner alone: what was asked stands in it."""
    try:
        os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise TunesmithError(f"the history {history} cannot be written: {error.strerror}") from error
