"""A command: `tunesmith template`, chat templates listed, shown and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Template:
    """List the installed chat templates, show what one writes, check one."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.group import Group

        tokenizer = click.option(
            "--tokenizer",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Folder of a tokenizer whose tokens are taken; a plain one of bytes by default.",
        )
        options = click.argument("options", nargs=-1, metavar="[OPTION=VALUE]...")

        @click.group("template", cls=Group, invoke_without_command=True)
        @click.pass_context
        def command(context: click.Context) -> None:
            """List the installed chat templates, show what one writes, check one."""
            if context.invoked_subcommand is None:
                from tunesmith_command_template.listing import listed

                click.echo(listed())

        @command.command("show")
        @click.argument("name")
        @options
        @tokenizer
        def show(name: str, options: tuple[str, ...], tokenizer: Path | None) -> None:
            """Print an example conversation as template NAME writes it, with what is trained marked.

            NAME is an installed template, or a class in a file: my_template.py:Mine.
            """
            from rich.console import Console

            from tunesmith_command_template.building import subject_of
            from tunesmith_command_template.showing import print_example

            print_example(subject_of(name, options, tokenizer), Console(soft_wrap=True, highlight=False))

        @command.command("check")
        @click.argument("name")
        @options
        @tokenizer
        @click.pass_context
        def check(context: click.Context, name: str, options: tuple[str, ...], tokenizer: Path | None) -> None:
            """Check what every chat template keeps to, and tell what is wrong.

            With --tokenizer, what the tokenizer's own template writes is the expectation.
            """
            from rich.console import Console

            from tunesmith_command_template.building import subject_of
            from tunesmith_command_template.checking import print_checks

            if not print_checks(subject_of(name, options, tokenizer), Console(soft_wrap=True, highlight=False)):
                context.exit(1)

        return command
