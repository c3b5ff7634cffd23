"""A command: `tunesmith api RUN`, a model served over HTTP in the words of OpenAI's API."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Api:
    """Serve a model over HTTP: chat, completions, models, as OpenAI's API has them."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured

        from .flags import with_flags
        from .snippets import LANGUAGES

        @click.command("api", cls=ConfigCommand)
        @configured
        @with_flags
        @click.option("--snippet", type=click.Choice(LANGUAGES), help="Print client code for this server, and stop.")
        def command(config: str | None, overrides: list[str], snippet: str | None, **flags: Any) -> None:
            """Serve a model over HTTP.

            CONFIG is a run's folder, or a YAML file that names a model.

            \b
            tunesmith api runs/qwen3 --port 8000
            tunesmith api model.path=Qwen/Qwen3-4B engine.batch_size=32
            """
            from .options import ServerOptions
            from .server import Server

            server = Server(config, overrides, options=ServerOptions(**flags))
            if snippet:
                click.echo(server.snippet(snippet), nl=False)
            else:
                server.run()

        return command
