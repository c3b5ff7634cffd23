"""Commands about data: `tunesmith data show CONFIG`, and `check`, `convert`, `stats`, `sample`, `list` of data sets."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Data:
    """Show the examples that a run would train on; check, convert, count and sample data sets."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured
        from tunesmith.cli.group import Group

        @click.group("data", cls=Group)
        def command() -> None:
            """Show the examples that a run would train on; check, convert, count and sample data sets.

            \b
            tunesmith data show my.yaml -n 10
            tunesmith data check train.json
            """

        @command.command("show", cls=ConfigCommand)
        @configured
        @click.option(
            "-n", "--count", type=click.IntRange(min=1), default=3, show_default=True, help="How many examples."
        )
        def show(config: str | None, overrides: list[str], count: int) -> None:
            """Render examples with all their columns.

            Tokens with labels are text in which the trained ones are green, or in ⟦ ⟧ without colour; tokens without
            labels, such as prompts, are plain text; other columns that the stage makes are shown by name and value.
            """
            from rich.console import Console

            from tunesmith_command_data.encoded import show as encoded
            from tunesmith_command_data.showing import print_examples

            processor, splits = encoded(config, overrides)
            print_examples(processor, splits, count, Console(soft_wrap=True, highlight=False))

        from tunesmith_command_data.commands import COMMANDS

        for one in COMMANDS:
            command.add_command(one)
        return command
