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
        @click.argument("search", required=False, default="", metavar="[SEARCH]")
        @click.option("--hub", default="huggingface", show_default=True, help="Hub whose ids are shown.")
        def command(search: str, hub: str) -> None:
            """List the models that `model.path` takes by name.

            SEARCH leaves those whose name, id or template holds it; several words must all be there.
            """
            from tunesmith_command_models.listing import listed

            click.echo(listed(search, hub))

        return command
