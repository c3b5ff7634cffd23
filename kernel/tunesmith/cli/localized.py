"""The help of commands in another language than English, with lines that are as wide as they are shown."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator

import click
from tunesmith.cli.languages import translate, translate_prose
from tunesmith.cli.tables import cells

MESSAGES = (
    "Usage:",
    "Options",
    "Commands",
    "Show this message and exit.",
    "Show the version and exit.",
    "[default: {value}]",
    "[required]",
    "missing argument '{name}'.",
    "missing option '{name}'.",
    "option '{name}' requires an argument.",
    "option '{name}' does not take a value.",
    "got unexpected extra argument ({name})",
    "got unexpected extra arguments ({names})",
    "invalid value for '{name}': {why}",
    "invalid value: {why}",
    "'{value}' is not a valid {kind}.",
    "'{value}' is not one of {possible}.",
    "{value} is not in the range {allowed}.",
    "{kind} '{path}' does not exist.",
    "{kind} '{path}' is a directory.",
    "{kind} '{path}' is a file.",
    "{kind} '{path}' is not readable.",
    "{kind} '{path}' is not writable.",
    "'{path}': no such file or directory",
    "done",
)
"""What click says, as `running` shows it; and the first of the exit codes."""

_UNIT = re.compile(
    r"\s+|[\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef][，。；：、！？）】》”’]*|[^\s\u2e80-\ua4cf\uf900-\ufaff\uff00-\uffef]+"
)


class Formatter(click.HelpFormatter):
    """Writes headings, texts and what options do in the user's language."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, f"{translate('Usage:')} " if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{translate(heading)}:\n")

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        paragraphs = translate_prose(text).split("\n\n")
        parts = [
            paragraph.removeprefix("\b\n").splitlines()
            if paragraph.startswith("\b\n")
            else list(wrapped(paragraph, self.width - self.current_indent))
            for paragraph in paragraphs
        ]
        self.write("\n\n".join("\n".join(indent + line for line in part) for part in parts) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        told = [(first, _option_help(second)) for first, second in rows]
        first_column = min(max((cells(first) for first, _ in told), default=0), col_max) + col_spacing
        for first, second in told:
            lines = list(wrapped(second, max(self.width - first_column - 2, 10)))
            margin = " " * (first_column + self.current_indent)
            beside = cells(first) <= first_column - col_spacing
            head = f"{' ' * self.current_indent}{first}"
            if lines and beside:
                head += " " * (first_column - cells(first)) + lines.pop(0)
            self.write("\n".join([head, *(margin + line for line in lines)]) + "\n")


class Context(click.Context):
    """A context whose help is written by `Formatter`."""

    formatter_class = Formatter


def localize(command: click.Command) -> click.Command:
    """A copy of a command whose help is in the user's language."""
    command = copy.copy(command)
    command.context_class = Context
    if command.help and not command.short_help:
        told = translate_prose(command.help.partition("\n\n")[0])
        command.short_help = re.split(r"(?<=。)|(?<=\.)\s", told)[0] if told != command.help else None
    return command


def _option_help(text: str) -> str:
    """What an option does, with its default and range behind it."""
    said, separator, more = text.partition("  [")
    return translate(text) if not separator else f"{translate(said)}  {translate(f'[{more}')}"


def wrapped(text: str, width: int) -> Iterator[str]:
    """A text in lines of so many cells, broken at spaces and between wide characters."""
    line = ""
    for unit in _UNIT.findall(text):
        if line and cells(line + unit.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line = line + unit if line or not unit.isspace() else line
    if line:
        yield line.rstrip()
