"""`tunesmith.Server`: a model that is served, from a program of one's own or by the command."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import uvicorn
from tunesmith.assemble import assemble, examine
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.errors import TunesmithError
from tunesmith.messages import announce
from tunesmith.pipeline import Config, model_handle
from tunesmith.types import Engine, ModelHandle
from tunesmith_library_judging.folders import is_classifier

from .adapters import load_adapter
from .app import make_app
from .checking import check_options, refuse_unknown
from .connections import timed
from .draining import DrainingServer
from .guarding import KEY_NAMES
from .loading import refusing_meanwhile
from .options import ServerOptions
from .scoring import ScoringEngine
from .service import Service, name_of
from .snippets import snippet


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
        refuse_unknown(changed)
        self.options = replace(options or ServerOptions(), **changed)
        self._adapters = check_options(self.options)
        self._composition = compose(config, overrides, catalog)
        stage = examine(self._composition, "load", catalog)[0].traits("stage")  # None for a model of no run
        self._scores = stage is not None and stage.scores
        self._assembly = assemble(self._composition, "load" if self._scores else "chat", catalog)
        self._closing = contextlib.ExitStack()
        self.service: Service
        self.url = ""  # where it listens, such as `http://127.0.0.1:8000`

    def snippet(self, language: str) -> str:
        """Client code for this server, which need not run; see `snippets`.

        Raises: TunesmithError for a port that is not known yet, and for a model that answers nothing.
        """
        options, plan = self.options, self._assembly.plan
        if self._scores:
            raise TunesmithError(
                "this model gives scores, and the code would ask for an answer.\n  see /score in /docs"
            )
        if not options.port:
            raise TunesmithError("the port is not known before the server runs.\n  name it: --port 8000")
        run = self._run_name
        model = options.model_name or run or name_of(str(getattr(plan.plugin("model"), "path", "")))
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)
        key = next((name for name in KEY_NAMES if os.environ.get(name)), KEY_NAMES[0]) if options.api_key else None
        return snippet(language, _address(host, options.port), model, key)

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
            self.url = _address(host, port)
            with refusing_meanwhile(listening):
                handle = model_handle(self._assembly, self._composition)
                self.service = Service(handle, self._engine(handle), self.options, run=self._run_name)
            with contextlib.closing(self.service):
                yield HttpServer(self.service), listening

    @property
    def _run_name(self) -> str | None:
        folder = self._composition.run_folder
        return folder.resolve().name if folder else None

    def _engine(self, handle: ModelHandle) -> Engine:
        """What answers, or gives scores; with the adapters beside the model."""
        engine: Engine
        if self._scores:
            engine = ScoringEngine(handle, handle.load())
        elif handle.source.address and handle.adapter is None and is_classifier(handle.source.path):
            from tunesmith_library_judging.loading import load_classifier

            _, model = load_classifier(str(handle.source.path), "PATH", handle.source.precision)
            engine = ScoringEngine(handle, model)
        else:
            engine = self._assembly.hook.open_engine(handle=handle)
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
            timeout_graceful_shutdown=2,
        )
        super().__init__(config, service.places, options.drain, service.end_answers)
        self.begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.begun.set()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
