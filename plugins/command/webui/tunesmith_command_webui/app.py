"""The application: the interface under /api, the page under /, errors in one shape."""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from tunesmith import TunesmithError, __version__
from tunesmith_library_studio import Studio

from . import routes_events, routes_models
from .options import Options

logger = logging.getLogger("tunesmith")

ROUTES = (routes_events, routes_models)
"""Modules with a function `router(studio)`; their paths begin with /api."""


def make_app(studio: Studio, options: Options) -> FastAPI:
    """What answers requests."""
    app = FastAPI(
        title="Tunesmith", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    app.state.options = options
    for routes in ROUTES:
        app.include_router(routes.router(studio), prefix="/api")
    for kind in (RequestValidationError, HTTPException, TunesmithError, Exception):
        app.add_exception_handler(kind, _told)
    app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))
    return app


async def _told(request: Request, error: Exception) -> Response:
    """An error as a response: `{"error": {"message": …}}`; what was wrong first, then what to do, line by line."""
    status = 400
    if isinstance(error, RequestValidationError):
        message = "\n".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        status = 422
    elif isinstance(error, HTTPException):
        message, status = str(error.detail), error.status_code
    elif isinstance(error, TunesmithError):
        message = str(error)
    else:
        logger.error("a request failed", exc_info=error)
        message, status = "the server failed to answer this request; its terminal tells why", 500
    return JSONResponse({"error": {"message": message}}, status)
