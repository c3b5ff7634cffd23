"""The server of the page, from its start to its end."""

from __future__ import annotations

import logging
import os
import socket
import threading
import webbrowser

import uvicorn
from tunesmith.cli.output import say
from tunesmith_library_serving.listening import address, bound
from tunesmith_library_studio import Studio, Workspace

from .app import make_app
from .ending import Ending
from .options import Options
from .security import PASSWORD_NAME, check_password

_FIRST_PAGE = 3.0  # seconds that it has the server for itself
_MESSAGE = 64 << 10  # bytes of a client's message on the websocket: names of topics


def serve(options: Options) -> None:
    """Serve until the user ends it.

    Raises: TunesmithError where it may not, or cannot, listen.
    """
    check_password(options.host, options.password)
    os.environ.pop(PASSWORD_NAME, None)  # no run or model's server inherits it
    with bound(options.host, options.port) as listening:
        studio = Studio(Workspace(options.runs, options.root, options.allowed))
        ending = Ending(studio.close)
        warming = threading.Timer(_FIRST_PAGE, studio.warm_up)
        warming.daemon = True
        try:
            studio.begin()
            app = make_app(studio, options)
            url = address(options.host, listening.getsockname()[1])
            say(f"serving {studio.workspace.shown(studio.workspace.runs)} at {url}")
            if options.opens:
                threading.Timer(0.5, webbrowser.open, [url]).start()
            config = uvicorn.Config(
                app,
                log_level="warning",
                ws="websockets-sansio",
                ws_max_size=_MESSAGE,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
            warming.start()
            _Server(config, ending).run([listening])
        finally:
            warming.cancel()
            ending.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._captured_signals:
            self._ending.within(self._captured_signals[0])
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off at the end is no mistake
        await super().shutdown(sockets)
