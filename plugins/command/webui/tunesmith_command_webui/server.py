"""The server of the page, from its start to its end."""

from __future__ import annotations

import socket
import threading
import webbrowser

import click
import uvicorn
from tunesmith_library_studio import Studio, Workspace

from .app import make_app
from .options import Options


def serve(options: Options) -> None:
    """Serve until the user ends it.

    Raises: TunesmithError where it may not, or cannot, listen.
    """
    studio = Studio(Workspace(options.runs, options.root, options.allowed))
    app = make_app(studio, options)
    with socket.create_server((options.host, options.port)) as listening:
        port = listening.getsockname()[1]
        url = f"http://{options.host}:{port}"
        click.echo(f"serving {studio.workspace.shown(studio.workspace.runs)} at {url}")
        if options.opens:
            threading.Timer(0.5, webbrowser.open, [url]).start()
        config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
        try:
            uvicorn.Server(config).run([listening])
        finally:
            studio.close()
