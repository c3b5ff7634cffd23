"""A command: `tunesmith completion SHELL`, a script that completes command lines of tunesmith."""

from __future__ import annotations

from typing import Any

from tunesmith import TunesmithError, plugin
from tunesmith.errors import choices

_SHELLS = ("bash", "zsh", "fish")


def _shell(name: str) -> str:
    """A shell that can be given a script.

    Raises: TunesmithError for another.
    """
    shell = name.rpartition("/")[2].lower()  # tunesmith completion $SHELL
    if shell not in _SHELLS:
        raise TunesmithError(f"{name} has no completion.\n{choices(shell, _SHELLS)}\nwrite tunesmith completion bash")
    return shell


@plugin
class Completion:
    """Print a script that completes commands, files, plugins, options and values: bash, zsh, fish."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("completion")
        @click.argument("shell", type=_shell, metavar="bash|zsh|fish")
        @click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
        @click.pass_context
        def command(context: click.Context, shell: str, words: tuple[str, ...]) -> None:
            """Print a script that completes command lines.

            \b
            bash: echo 'source <(tunesmith completion bash)' >> ~/.bashrc
            zsh:  echo 'source <(tunesmith completion zsh)' >> ~/.zshrc
            fish: tunesmith completion fish > ~/.config/fish/completions/tunesmith.fish
            """
            from tunesmith_command_completion.shells import reply, script

            click.echo(reply(shell, words, context) if words else script(shell), nl=not words)

        return command
