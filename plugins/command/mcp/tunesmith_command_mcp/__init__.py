"""A command: `tunesmith mcp`, a server of the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Mcp:
    """Have an assistant plan, train, watch, compare, chat, evaluate and export, by the Model Context Protocol."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("mcp")
        @click.argument("runs", metavar="[RUNS_FOLDER]", default="runs", type=Path)
        @click.option("--read-only", is_flag=True, help="Offer only tools that change nothing and start nothing.")
        @click.option("--http", is_flag=True, help="Listen for HTTP on this machine, instead of standard input.")
        @click.option("--port", default=7861, show_default=True, help="Port of --http; 0 is any that is free.")
        @click.option("--allow", "allowed", multiple=True, type=Path, metavar="FOLDER",
                      help="Further folder that paths may lead to, such as one of models.")  # fmt: skip
        @click.option("--root", default=None, type=click.Path(exists=True, file_okay=False, path_type=Path),
                      help="Where relative paths start; the current folder by default.")  # fmt: skip
        def command(
            runs: Path, read_only: bool, http: bool, port: int, allowed: tuple[Path, ...], root: Path | None
        ) -> None:
            """Have an assistant plan, train, watch, compare, chat, evaluate and export.

            RUNS_FOLDER is where runs are written and looked for. An assistant starts this command itself and talks to
            its standard input; with --http it listens at http://127.0.0.1:PORT/mcp. Set TUNESMITH_MCP_PASSWORD in the
            environment where several people use the machine: clients then send `Authorization: Bearer PASSWORD`. Runs
            go on when it ends.

            \b
            claude mcp add tunesmith -- tunesmith mcp --root /data/project
            tunesmith mcp runs --read-only
            tunesmith mcp runs --http --port 7861
            """
            from tunesmith_library_studio import Studio, Workspace

            from .serving import over_http, over_standard_input

            studio = Studio(Workspace(runs, root, allowed))
            try:
                over_http(studio, read_only, port) if http else over_standard_input(studio, read_only)
            finally:
                studio.close()

        return command
