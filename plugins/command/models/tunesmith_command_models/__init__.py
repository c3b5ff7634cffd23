"""A command: `tunesmith models`, the models that `model.path` takes by name."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Models:
    """List known models by name: their ids on the hubs, and their chat templates."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("models")
        @click.argument("search", nargs=-1, metavar="[SEARCH]...")
        @click.option("--hub", default="huggingface", show_default=True, help="Hub whose ids are shown.")
        def command(search: tuple[str, ...], hub: str) -> None:
            """List the models that `model.path` takes by name.

            SEARCH leaves those whose name, id or template holds it; several words must all be there. Hyphens may be
            left out, and * stands for anything.
            """
            from tunesmith_command_models.listing import listed

            click.echo(listed(" ".join(search), hub))

        return command
