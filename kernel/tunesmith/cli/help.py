"""`tunesmith help`, and `tunesmith version` for those who type it."""

from __future__ import annotations

import click
from tunesmith import __version__


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"tunesmith {__version__}")


def _commands(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """What help there is, for completion."""
    root = context.find_root()
    names = root.command.list_commands(root) if isinstance(root.command, click.Group) else []
    return [name for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_commands)
@click.pass_context
def help(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command: `tunesmith help plugins show`."""
    found = context.find_root()
    for word in words:
        if not isinstance(found.command, click.Group):
            raise click.UsageError(f"{found.command_path} has no commands within, so no {word}.", found)
        _, command, _ = found.command.resolve_command(found, [word])  # raises where there is none
        found = click.Context(command or found.command, info_name=word, parent=found)
    click.echo(found.get_help())
