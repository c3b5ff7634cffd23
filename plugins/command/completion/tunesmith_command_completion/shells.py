"""What shells are given: a script once, and for each TAB the words that can come next.

The scripts call `tunesmith completion SHELL -- WORDS`, the last word being the one that is written. The reply is a line
per answer, with its description behind a tab where the shell shows one. No reply makes the shell complete file names.
"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections.abc import Sequence

import click
from click.shell_completion import split_arg_string

from tunesmith_command_completion.answer import Answer
from tunesmith_command_completion.answers import answers

_UNSAFE = re.compile(r"[^\w@%+=:,./~-]")


def script(shell: str) -> str:
    """The script for a shell."""
    file = importlib.resources.files(__package__).joinpath("scripts", f"tunesmith.{shell}")
    return file.read_text(encoding="utf-8")


def reply(shell: str, words: Sequence[str], context: click.Context) -> str:
    """What a shell is told; nothing where anything goes wrong, since a half-written line may be anything.

    Args:
        words: the program's name and its arguments, the last one unfinished; for bash, which splits words at `=`, the
            line up to the cursor instead.
        context: of the command line that asks.
    """
    if shell == "bash":
        (line,) = words
        words = [*split_arg_string(line), *([""] if line[-1:].isspace() else [])]
    try:
        found = answers(context, words[1:-1], words[-1])
    except Exception:
        if os.environ.get("TUNESMITH_DEBUG") == "1":
            raise
        return ""
    if shell == "bash":
        return "".join(f"{_for_bash(answer.value, words[-1])}\n" for answer in found)
    return "".join(f"{answer.value}\t{_line(answer)}\n" for answer in found)


def _line(answer: Answer) -> str:
    return " ".join(answer.help.split())


def _for_bash(value: str, written: str) -> str:
    """An answer as readline takes it: it replaces what stands behind the last of its word breaks."""
    breaks = re.escape(os.environ.get("COMP_WORDBREAKS", ""))
    behind = re.split(f"[{breaks}]", written)[-1] if breaks else written
    kept = len(written) - len(behind)
    return _UNSAFE.sub(r"\\\g<0>", value[kept:])
