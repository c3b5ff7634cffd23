"""Adapters that come and go while the server runs, in vLLM's shapes; only from a folder that is allowed."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from tunesmith.errors import choices
from tunesmith_library_configuration.handles import holds_adapter

from .adapters import load_adapter, method_of
from .errors import ApiError, invalid
from .fields import Fields, passed_over
from .service import Service


class LoadRequest(Fields):
    """The body of /v1/load_lora_adapter."""

    lora_name: str
    lora_path: str


class UnloadRequest(Fields):
    """The body of /v1/unload_lora_adapter."""

    lora_name: str


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/load_lora_adapter")
    async def load_lora_adapter(body: LoadRequest) -> Response:
        """Load an adapter, which requests may choose by its name from then on."""
        headers = passed_over(service, body)
        folder = _allowed(service, body.lora_path)
        if not body.lora_name.strip() or not body.lora_name.isprintable():
            raise invalid("lora_name is empty, or no name that could be shown", "lora_name")
        if body.lora_name in service.models:
            message = f"{body.lora_name!r} is the name of what is served already; unload it first"
            raise invalid(message, "lora_name", "name_taken")
        await service.in_thread(lambda: load_adapter(service.engine, body.lora_name, folder), "lora_path")
        return JSONResponse({"loaded": body.lora_name, "served": list(service.models)}, headers=headers)

    @routes.post("/v1/unload_lora_adapter")
    async def unload_lora_adapter(body: UnloadRequest) -> Response:
        """Let an adapter go once the answers that it is in have ended."""
        headers = passed_over(service, body)
        _allowing(service)
        if body.lora_name not in service.engine.adapters:
            message = f"there is no adapter {body.lora_name!r}.\n{choices(body.lora_name, service.engine.adapters)}"
            raise ApiError(404, message, param="lora_name", code="model_not_found")
        unload = method_of(service.engine, "unload_adapter")
        await service.in_thread(lambda: unload(body.lora_name), "lora_name")
        return JSONResponse({"unloaded": body.lora_name, "served": list(service.models)}, headers=headers)

    return routes


def _allowing(service: Service) -> Path:
    """The folder that adapters are loaded from.

    Raises: ApiError where none is.
    """
    allowed = service.options.allow_adapters
    if allowed is None:
        message = "adapters are loaded and let go only where the server was started with --allow-adapters FOLDER"
        raise ApiError(403, message, code="not_allowed")
    return Path(allowed).resolve()


def _allowed(service: Service, path: str) -> Path:
    """The folder of an adapter. What is outside of the allowed one sounds the same whether it is there or not.

    Its weights are in safetensors: what else peft would read is pickled.

    Raises: ApiError.
    """
    allowed = _allowing(service)
    refused = invalid(f"{path!r} is no folder of an adapter in {allowed.name}/", "lora_path", "not_allowed")
    try:
        folder = (allowed / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise refused from None
    weights = (folder / "adapter_model.safetensors").resolve()
    inside = folder.is_relative_to(allowed) and weights.is_relative_to(allowed)
    if not inside or not holds_adapter(folder) or not weights.is_file():
        raise refused
    return folder
