"""What no engine can answer, refused with the same words by all."""

from __future__ import annotations

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import Engine, Request


def check_request(engine: Engine, request: Request) -> None:
    """Refuse a request that cannot be answered whatever the engine.

    Raises: TunesmithError for an empty prompt, one that leaves no room for an answer, and an unknown adapter.
    """
    if not request.prompt:
        raise TunesmithError("the prompt is empty; an engine needs at least one token to go on from")
    limit = engine.context_length
    if limit is not None and len(request.prompt) >= limit:
        raise TunesmithError(
            f"the prompt has {len(request.prompt)} tokens; the model's context ends at {limit}.\n"
            "  shorten it, or start a new conversation"
        )
    check_adapter(engine, request.adapter)


def check_adapter(engine: Engine, adapter: str | None) -> None:
    """Raises: TunesmithError for an adapter that the engine does not have."""
    if adapter is None or adapter in engine.adapters:
        return
    advice = choices(adapter, engine.adapters) if engine.adapters else "this model has none to choose from"
    raise TunesmithError(f"there is no adapter {adapter!r}.\n{advice}")
