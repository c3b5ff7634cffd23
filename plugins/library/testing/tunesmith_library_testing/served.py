"""Servers of the protocol, over plain sockets: one that says what a test wrote down, one that runs a tiny model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tunesmith.types import Engine, Request, Sampling

Reply = Any
"""An object; a list of objects, which are streamed; or (status, object, headers)."""


class Served(ThreadingHTTPServer):
    """Answers with what `reply(path, body)` gives, and keeps what was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, reply: Callable[[str, Any], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.asked, self.headers = reply, [], []  # type: ignore[var-annotated]
        self.left = threading.Event()  # a client hung up within a stream

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no mistake."""


class _Handler(BaseHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        if not self.path.startswith("/v1/"):
            self._whole(404, {"detail": "Not Found"}, {})
            return
        path = self.path.removeprefix("/v1/")
        self.server.asked.append((path, body))
        self.server.headers.append(dict(self.headers))
        said = self.server.reply(path, body)
        if isinstance(said, dict | tuple):
            status, content, headers = said if isinstance(said, tuple) else (200, said, {})
            self._whole(status, content, headers)
        else:
            self._stream(said)

    def _whole(self, status: int, content: Any, headers: dict[str, str]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterator[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for event in events:
                if event is None:  # the connection breaks
                    return
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.left.set()
        finally:
            if hasattr(events, "close"):
                events.close()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def served(reply: Callable[[str, Any], Reply]) -> Iterator[Served]:
    """A server of the protocol, until the block ends."""
    server = Served(reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def model_reply(engine: Engine, ends: frozenset[int] = frozenset(), kind: str = "vllm") -> Callable[[str, Any], Reply]:
    """How a server answers that runs a model, as vLLM does for token ids."""

    def reply(path: str, body: Any) -> Reply:
        if path == "models":
            entry = {"id": "tiny", "owned_by": kind, "max_model_len": engine.context_length}
            return {"data": [entry]}
        if path == "embeddings":
            vectors = engine.embed(body["input"])
            return {"data": [{"index": at, "embedding": vector} for at, vector in reversed(list(enumerate(vectors)))]}
        if body.get("echo"):
            (told,) = engine.score([body["prompt"]], alternatives=body["logprobs"])
            return {"choices": [{"logprobs": _log_probs((0, *body["prompt"][1:]), told, first=True)}]}
        return _said(engine, body)

    return reply


def _said(engine: Engine, body: Any) -> Iterator[Any]:
    names = ("temperature", "top_p", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "seed")
    sampling = Sampling(
        max_new_tokens=body["max_tokens"],
        stop_token_ids=tuple(body["stop_token_ids"]),
        **({"top_k": max(body["top_k"], 0)} if "top_k" in body else {}),
        **{name: body[name] for name in names if name in body},
    )
    answer = engine.submit(Request(body["prompt"], sampling, log_probs=body.get("logprobs")))
    try:
        for delta in answer:
            choice: dict[str, Any] = {
                "text": "",
                "token_ids": list(delta.token_ids),
                "finish_reason": delta.finish_reason,
            }
            if body.get("logprobs") is not None:
                choice["logprobs"] = _log_probs(delta.token_ids, delta.log_probs)
            yield {"choices": [choice]}
    finally:
        answer.cancel()


def _log_probs(tokens: Any, told: Any, first: bool = False) -> dict[str, Any]:
    said = {
        "tokens": [f"token_id:{token}" for token in tokens],
        "token_logprobs": [one.value for one in told],
        "top_logprobs": [{f"token_id:{token}": value for token, value in one.alternatives.items()} for one in told],
    }
    if first:  # nothing is before the first token of a prompt
        said = {**said, **{name: [None, *said[name]] for name in ("token_logprobs", "top_logprobs")}}
    return said
