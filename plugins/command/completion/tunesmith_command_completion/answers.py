"""The words that can come next on a command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from click.shell_completion import ShellComplete
from tunesmith.cli.arguments import ConfigCommand
from tunesmith.cli.group import catalog_of

from tunesmith_command_completion.answer import Answer


def answers(context: click.Context, words: Sequence[str], written: str) -> list[Answer]:
    """What can be written in place of an unfinished word.

    Args:
        context: of a command line of tunesmith, whose root has all commands and what is installed.
        words: the arguments before it, without the program's name.
        written: the unfinished word, often empty.

    Returns: the answers that begin with it; none where a file's name is meant, which the shell completes itself.
    """
    command, arguments = _called(context, words)
    if isinstance(command, ConfigCommand) and not written.startswith("-"):
        plain, waiting = _positional(command, arguments)
        if not waiting:
            from tunesmith_command_completion.configuration import completed

            return list(completed(plain, written, catalog_of(context)))
    cli, shared = context.find_root().command, {"parent": context}
    items = ShellComplete(cli, shared, "tunesmith", "").get_completions(list(words), written)
    return [Answer(item.value, item.help or "") for item in items if item.type == "plain"]


def _called(context: click.Context, words: Sequence[str]) -> tuple[click.Command, Sequence[str]]:
    """The command that words call, and its arguments."""
    context = click.Context(context.find_root().command, parent=context)
    for number, word in enumerate(words):
        if not isinstance(context.command, click.Group):
            break
        if not word.startswith("-"):
            found = context.command.get_command(context, word)
            if found is None:
                break
            context = click.Context(found, info_name=word, parent=context)
            if not isinstance(found, click.Group):
                return found, words[number + 1 :]
    return context.command, ()


def _positional(command: click.Command, arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments that are not options, nor values of options; and whether an option waits for its value."""
    taking = {name for name, takes in _options(command) if takes}
    plain, waiting = [], False
    for argument in arguments:
        if waiting:
            waiting = False
        elif argument.startswith("-"):
            waiting = argument in taking
        else:
            plain.append(argument)
    return plain, waiting


def _options(command: click.Command) -> Iterator[tuple[str, bool]]:
    """The names of a command's options, and whether a value follows."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from ((name, not (parameter.is_flag or parameter.count)) for name in parameter.opts)
