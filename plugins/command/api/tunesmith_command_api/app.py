"""The application: all routes, and errors in the shape of the routes that they come from."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from tunesmith import __version__
from tunesmith.errors import TunesmithError

from . import (
    routes_adapters,
    routes_chat,
    routes_completions,
    routes_docs,
    routes_messages,
    routes_models,
    routes_responses,
    routes_scores,
    routes_tokens,
    routes_vectors,
)
from .errors import ApiError
from .fields import validation_error
from .refusals import shape_of
from .service import Service
from .streaming import HungUp
from .surrounding import surround

logger = logging.getLogger("tunesmith")

ROUTES = (
    routes_chat,
    routes_completions,
    routes_messages,
    routes_models,
    routes_responses,
    routes_tokens,
    routes_vectors,
    routes_scores,
    routes_adapters,
    routes_docs,
)


def make_app(service: Service) -> FastAPI:
    """What answers requests to a service."""
    title, root = f"Tunesmith: {service.name}", service.options.root_path
    servers = [{"url": root}] if root else None
    app = FastAPI(title=title, version=__version__, servers=servers, docs_url=None, redoc_url=None)
    for routes in ROUTES:
        app.include_router(routes.router(service))
    surround(app, service)
    for kind in (ApiError, RequestValidationError, HTTPException, TunesmithError, HungUp, Exception):
        app.add_exception_handler(kind, _told)
    return app


async def _told(request: Request, error: Exception) -> Response:
    """An error as a response."""
    if isinstance(error, HungUp):
        return Response(status_code=499)  # nobody reads it
    found = _as_api_error(error)
    return JSONResponse(shape_of(request.url.path)(found), found.status, headers=found.headers)


def _as_api_error(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return validation_error(error.errors())
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, TunesmithError):
        return ApiError(400, str(error))
    logger.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed to answer this request")
