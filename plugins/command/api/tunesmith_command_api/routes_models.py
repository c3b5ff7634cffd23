"""/v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from tunesmith_library_engine.showing import kinds_of

from .scoring import ScoringEngine
from .service import Service


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The names that `model` may have in a request."""
        return {"object": "list", "data": [_described(service, name) for name in service.models]}

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        service.adapter_of(name)
        return _described(service, name)

    return routes


def _described(service: Service, name: str) -> dict[str, Any]:
    adapter = service.models[name]
    return {
        "id": name,
        "object": "model",
        "created": service.started,
        "owned_by": "tunesmith",
        "root": service.name if adapter is None else adapter,
        "parent": None if adapter is None else service.name,
        "max_model_len": service.engine.context_length,
        "template": service.template.name,
        "capabilities": _capabilities(service),
    }


def _capabilities(service: Service) -> dict[str, Any]:
    """What can be asked for: `answers` is false of a model that gives scores alone."""
    return {
        "answers": not isinstance(service.engine, ScoringEngine),
        "media": list(kinds_of(service.processor)),
        "tools": "tools" in service.template.jinja,
        "reasoning": service.template.thinking is not None,
        "switches_thinking": service.template.switches_thinking,
    }
