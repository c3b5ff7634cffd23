"""Commands about data: `tunesmith data show` and `encode` of a configuration's; `check`, `convert`, `stats`, `sample`,
`list` of data sets; and `cache`."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Data:
    """Show and encode what a run would train on; check, convert, count and sample data sets; look after the cache."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured
        from tunesmith.cli.group import Group

        @click.group("data", cls=Group)
        def command() -> None:
            """Show and encode what a run would train on; check, convert, count and sample data sets.

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

            Tokens with labels are text in which the trained ones are green, or in ⟦ ⟧ without colour, behind what they
            weigh (`2×`) where that is not 1; tokens without labels, such as prompts, are plain text; other columns that
            the stage makes are shown by name and value.
            """
            from rich.console import Console

            from tunesmith_command_data.encoded import show as encoded
            from tunesmith_command_data.showing import print_examples

            processor, splits = encoded(config, overrides)
            print_examples(processor, splits, count, Console(soft_wrap=True, highlight=False))

        @command.command("encode", cls=ConfigCommand)
        @configured
        @click.option(
            "--output", type=click.Path(file_okay=False), metavar="FOLDER", help="Keep it here; to be copied elsewhere."
        )
        def encode(config: str | None, overrides: list[str], output: str | None) -> None:
            """Encode the data of a run beforehand: the run then takes them from the cache.

            It needs no GPU, and of the model its tokenizer and config.json alone. What --output writes may be copied to
            another machine: the run takes it with data.cache_dir=FOLDER, wherever its data files lie there.

            With parallel=ray a Ray cluster encodes them, in shards; FOLDER is one that its machines share. A command
            that was interrupted goes on with the shards that are missing.

            \b
            tunesmith data encode my.yaml
            tunesmith data encode my.yaml --output encoded
            tunesmith data encode my.yaml parallel=ray --output /shared/encoded
            """
            from tunesmith_command_data.keeping import encode_and_tell

            encode_and_tell(config, overrides, output)

        from tunesmith_command_data.commands import COMMANDS

        for one in COMMANDS:
            command.add_command(one)
        return command
