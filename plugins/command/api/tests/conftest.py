"""A server over an engine that says what a test has it say, so that nothing is left to chance or to a model."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest


class StubEngine:
    """Answers that grow when the test says so; `on_submit` may do it at once."""

    context_length = 2000
    end_token_ids = frozenset({0})

    def __init__(self) -> None:
        self.adapters: tuple[str, ...] = ()
        self.requests: list[Any] = []
        self.answers: list[Any] = []
        self.on_submit: Callable[[Any, Any], None] = lambda request, answer: None
        self.closed = False

    def submit(self, request: Any) -> Any:
        from tunesmith_library_engine import StreamedAnswer

        answer = StreamedAnswer()
        self.requests.append(request)
        self.answers.append(answer)
        self.on_submit(request, answer)
        return answer

    def stats(self) -> Any:
        open_ = sum(not answer.ended for answer in self.answers)
        return SimpleNamespace(running=open_, waiting=0, cached_tokens=7)

    def close(self) -> None:
        self.closed = True
        for answer in self.answers:
            answer.cancel()


@pytest.fixture(scope="session")
def handle(tiny_llama: Any) -> Any:
    """A tokenizer and a template; no model is loaded."""
    import tunesmith

    return tunesmith.open_model({"model": {"path": str(tiny_llama)}, "template": "chatml"})


@pytest.fixture
def serving(handle: Any) -> Iterator[Callable[..., Any]]:
    """`serving(timeout=1.0)` starts a server over a `StubEngine` and gives a client, with `engine` and `server`."""
    from tunesmith_command_api.options import ServerOptions
    from tunesmith_command_api.server import HttpServer
    from tunesmith_command_api.service import Service

    with contextlib.ExitStack() as closing:

        def serve(engine: Any = None, **options: Any) -> Any:
            engine = engine or StubEngine()
            service = Service(handle, engine, ServerOptions(**options))
            server = HttpServer(service)
            listening = socket.create_server(("127.0.0.1", 0))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that a client is soon found to be slow
            thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
            thread.start()
            server.begun.wait()
            closing.callback(service.close)
            closing.callback(thread.join, 10)
            closing.callback(setattr, server, "should_exit", True)
            port = listening.getsockname()[1]
            client = closing.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
            return SimpleNamespace(
                engine=engine, service=service, server=server, client=client, port=port, thread=thread, chat=chat
            )

        def chat(**changed: Any) -> dict[str, Any]:
            return {"messages": [{"role": "user", "content": "hi"}], **changed}

        yield serve


@pytest.fixture
def soon() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so, and fails when it does not come to be."""

    def wait(so: Callable[[], bool], seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < until, "it did not come to be so"
            time.sleep(0.01)

    return wait


@pytest.fixture
def events() -> Callable[[Any], list[Any]]:
    """The events of a stream, without its last line."""

    def read(response: Any) -> list[Any]:
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    return read
