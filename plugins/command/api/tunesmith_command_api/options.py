"""What a server may be told, beside the configuration of its model: each field is a flag of the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def told(default: Any, help: str, **more: Any) -> Any:
    """A field that is a flag: `max_body` is `--max-body`.

    Args:
        help: what `--help` says of it.
        more: `env`, environment variables to take it from; `metavar`. A tuple is a flag that may be given again.
    """
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve."""

    host: str = told("127.0.0.1", "Address to listen on.")
    port: int = told(8000, "Port to listen on; 0 is any that is free.")
    model_name: str | None = told(None, "What clients call the model; the name of the run or model by default.")
    strict: bool = told(False, "Refuse requests with fields that are not known, instead of passing over them.")
