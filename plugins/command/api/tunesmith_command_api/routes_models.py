"""/v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

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
    }
