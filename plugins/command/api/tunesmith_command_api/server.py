"""`tunesmith.Server`: a model that is served, from a program of one's own or by the command."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import uvicorn
from tunesmith.assemble import assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.errors import TunesmithError
from tunesmith.messages import announce
from tunesmith.pipeline import Config, model_handle
from tunesmith.types import Engine, ModelHandle

from .app import make_app
from .connections import timed
from .draining import DrainingServer
from .adapters import adapters_of, load_adapter
from .guarding import check_key, refuse_open
from .options import ServerOptions
from .scoring import ScoringEngine
from .service import Service


class Server:
    """A model that is served while the block runs: `with Server(run, port=0) as server: print(server.url)`."""

    def __init__(
        self,
        config: Config = None,
        overrides: Overrides = None,
        *,
        options: ServerOptions | None = None,
        catalog: Catalog | None = None,
        **changed: Any,
    ) -> None:
        """
        Args:
            config: a run's folder, or a configuration that names a model.
            options: how to serve; `changed` are fields of it, such as `port=0`.

        Raises: ConfigError that lists all problems, before anything is loaded.
        """
        self.options = replace(options or ServerOptions(), **changed)
        check_key(self.options.api_key)
        refuse_open(self.options.host, self.options.api_key, self.options.insecure)
        self._composition = compose(config, overrides, catalog)
        self._assembly = assemble(self._composition, "load", catalog)
        self._scores = self._assembly.plan.traits("stage").scores
        if not self._scores:
            self._assembly = assemble(self._composition, "chat", catalog)
        self._adapters = adapters_of(self.options.adapter)
        self._closing = contextlib.ExitStack()
        self.service: Service
        self.url = ""  # where it listens, such as `http://127.0.0.1:8000`

    def run(self) -> None:
        """Load the model, and serve it until the process is told to stop."""
        with self._opened() as (server, listening):
            announce("serving", self.service.name, f"at {self.url}/v1")
            server.run(sockets=[listening])

    def __enter__(self) -> Self:
        """Raises: TunesmithError when it cannot listen there, or the model cannot be served."""
        with contextlib.ExitStack() as opening:
            server, listening = opening.enter_context(self._opened())
            thread = threading.Thread(target=server.run, args=([listening],), name="server", daemon=True)
            thread.start()
            opening.callback(thread.join)
            opening.callback(setattr, server, "should_exit", True)
            server.begun.wait()
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[HttpServer, socket.socket]]:
        with contextlib.closing(_bound(self.options)) as listening:  # first: a model may take minutes to load
            host, port = listening.getsockname()[:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            handle = model_handle(self._assembly, self._composition)
            folder = self._composition.run_folder
            run = folder.resolve().name if folder else None
            engine = self._engine(handle)
            self.service = Service(handle, engine, self.options, run=run)
            with contextlib.closing(self.service):
                yield HttpServer(self.service), listening

    def _engine(self, handle: ModelHandle) -> Engine:
        """What answers, or gives scores."""
        if self._scores:
            return ScoringEngine(handle, handle.load())
        engine: Engine = self._assembly.hook.open_engine(handle=handle)
        for name, folder in self._adapters.items():
            load_adapter(engine, name, folder)
        return engine


class HttpServer(DrainingServer):
    """Serves, and says when it listens. Requests are logged by `watching`, which knows what of them is no secret."""

    def __init__(self, service: Service) -> None:
        options = service.options
        config = uvicorn.Config(
            make_app(service),
            http=timed(options.client_timeout),
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=math.ceil(options.keep_alive),
            timeout_graceful_shutdown=1,
        )
        super().__init__(config, service.places, options.drain)
        self.begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.begun.set()


def _bound(options: ServerOptions) -> socket.socket:
    """A socket at the address, before anything is loaded.

    Raises: TunesmithError when there is none to be had.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        listening.close()
        advice = "choose another with --port, 0 for any that is free"
        raise TunesmithError(f"cannot listen on {options.host}:{options.port}: {error}\n  {advice}") from error
    return listening
