"""A command: `tunesmith webui`, everything in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Webui:
    """Train, watch, compare, chat, evaluate, export and look after data in the browser."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("webui")
        @click.argument("runs", metavar="[RUNS_FOLDER]", default="runs", type=Path)
        @click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
        @click.option("--port", default=7860, show_default=True, help="Port to listen on; 0 is any that is free.")
        @click.option("--password", default=None, envvar="TUNESMITH_WEBUI_PASSWORD",
                      help="What who opens the page must enter; everybody on this machine sees a command line, so "
                      "set TUNESMITH_WEBUI_PASSWORD in the environment.")  # fmt: skip
        @click.option("--allow", "allowed", multiple=True, type=Path, metavar="FOLDER",
                      help="Further folder that paths may lead to, such as one of models.")  # fmt: skip
        @click.option("--allow-host", "hosts", multiple=True, metavar="NAME",
                      help="Name that the page may be opened by, such as a proxy's.")  # fmt: skip
        @click.option("--max-upload-bytes", default=1 << 30, show_default=True, help="Bytes of an uploaded file.")
        @click.option("--open/--no-open", "opens", default=True, help="Open the page in this machine's browser.")
        def command(runs: Path, **flags: Any) -> None:
            """Train, watch, compare, chat, evaluate, export and look after data in the browser.

            RUNS_FOLDER is where runs are written and looked for. Runs go on when the server ends, and are found again.

            \b
            tunesmith webui
            tunesmith webui runs --port 7860 --allow /data/models
            """
            from .options import Options
            from .server import serve

            serve(Options(runs=runs, **flags))

        return command
