"""What a server may be told, beside the configuration of its model: each field is a flag of the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .guarding import KEY_NAMES


def told(default: Any, help: str, **more: Any) -> Any:
    """A field that is a flag: `max_body` is `--max-body`.

    Args:
        help: what `--help` says of it.
        more: `env`, environment variables to take it from; `metavar`; `least`, the smallest number that it may
            be; `secret`, that it is in no `repr`. A tuple is a flag that may be given again.
    """
    return field(default=default, metadata={"help": help, **more}, repr="secret" not in more)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve."""

    host: str = told("127.0.0.1", "Address to listen on.")
    port: int = told(8000, "Port to listen on; 0 is any that is free.", least=0)
    root_path: str = told("", "Path under which a proxy serves it, which it takes off; for the addresses in /docs.")
    model_name: str | None = told(None, "What clients call the model; the name of the run or model by default.")
    strict: bool = told(False, "Refuse requests with fields that are not known, instead of passing over them.")
    adapter: tuple[str, ...] = told((), "Adapter that requests may choose in `model` by its name.", metavar="NAME=PATH")
    allow_adapters: str | None = told(
        None, "Folder of adapters that clients may have loaded and let go while the server runs.", metavar="FOLDER"
    )
    # ---- who may ask
    api_key: str | None = told(
        None,
        "Key that clients must send; everybody on this machine sees a command line, so set it in the environment.",
        env=KEY_NAMES,
        metavar="KEY",
        secret=True,
    )
    insecure: bool = told(False, "Listen where other machines reach the server without asking them for a key.")
    allow_host: tuple[str, ...] = told((), "Name that requests may call the server by, such as a proxy's.")
    allow_origin: tuple[str, ...] = told((), "Site whose pages may ask in a browser: https://example.org; * is all.")
    allow_media_path: tuple[str, ...] = told(
        (), "Folder that requests may name images, videos and sounds in.", metavar="FOLDER"
    )
    allow_media_host: tuple[str, ...] = told(
        (), "Host that media may be fetched from: example.org, *.example.org, * for all public ones.", metavar="HOST"
    )
    media_timeout: float = told(10.0, "Seconds that a host may take for an image, video or sound.", least=0.001)
    # ---- how much
    max_body_bytes: int = told(64 * 2**20, "Bytes of a request.", least=1)
    max_nesting: int = told(100, "Levels of brackets in a request.", least=1)
    max_messages: int = told(10_000, "Messages of a conversation.", least=1)
    max_media: int = told(16, "Images, videos and sounds of a request.", least=0)
    max_media_bytes: int = told(20 * 2**20, "Bytes of each of them.", least=1)
    max_queue: int = told(512, "Requests that are answered or wait; more are turned away.", least=1)
    max_tokens_per_request: int | None = told(None, "Tokens that a request may ask for in one answer.", least=1)
    max_stored_responses: int = told(1000, "Responses of /v1/responses that are kept in memory to go on from.")
    timeout: float | None = told(
        None, "Seconds that an answer may take; it ends then as at its limit of tokens.", least=0.001
    )
    client_timeout: float = told(
        30.0, "Seconds for a client to send its request, and to take what is sent to it.", least=0.001
    )
    keep_alive: float = told(30.0, "Seconds that a connection is kept for a further request.", least=0.001)
    drain: float = told(30.0, "Seconds for open requests to end when the server is told to stop.", least=0)
