"""A command: `tunesmith recipes`, the configurations that are installed to be run and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Recipes:
    """List the installed recipes, show one, copy one to change it."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.group import Group
        from tunesmith.cli.output import say

        def names(context: Any, parameter: Any, incomplete: str) -> list[str]:
            from tunesmith_library_configuration.recipes import recipes

            return [name for name in sorted(recipes()) if name.startswith(incomplete)]

        @click.group("recipes", cls=Group, invoke_without_command=True)
        @click.pass_context
        def command(context: click.Context) -> None:
            """List the installed recipes, show one, copy one to change it.

            A recipe runs by its name, without being copied: `tunesmith train conf/sft_lora.yaml`.
            """
            if context.invoked_subcommand is None:
                from tunesmith_command_recipes.reading import summaries

                rows = summaries()
                width = max((len(name) for name, _ in rows), default=0)
                for name, summary in rows:
                    click.echo(f"{name.ljust(width)}  {summary}".rstrip())

        @command.command("show")
        @click.argument("name", metavar="NAME", shell_complete=names)
        def show(name: str) -> None:
            """Print a recipe."""
            from tunesmith_command_recipes.reading import read

            click.echo(read(name), nl=False)

        @command.command("copy")
        @click.argument("name", metavar="NAME", shell_complete=names)
        @click.argument("folder", metavar="[FOLDER]", type=click.Path(file_okay=False, path_type=Path), default=Path())
        def copy(name: str, folder: Path) -> None:
            """Copy a recipe, with those that it inherits from, into FOLDER (this one by default)."""
            from tunesmith_command_recipes.reading import copy

            written = copy(name, folder)
            say("\n".join([*(f"wrote {file}" for file in written), f"  tunesmith train {written[0]}"]))

        return command
