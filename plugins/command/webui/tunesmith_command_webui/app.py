"""The application: the interface under /api, the page under /, errors in one shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from tunesmith import TunesmithError, __version__
from tunesmith_library_serving.guarding import own_names
from tunesmith_library_studio import Studio

from . import (
    routes_chat,
    routes_compose,
    routes_data,
    routes_data_changes,
    routes_evaluations,
    routes_events,
    routes_exports,
    routes_jobs,
    routes_models,
    routes_plugins,
    routes_prompts,
    routes_runs,
    routes_schema,
    routes_session,
    routes_watch,
)
from .languages import in_language, languages
from .options import Options
from .page_files import PageFiles, policy
from .security import Guard
from .sessions import Access

ROUTES = (
    routes_chat,
    routes_events,
    routes_jobs,
    routes_data,
    routes_data_changes,
    routes_prompts,
    routes_watch,
    routes_models,
    routes_schema,
    routes_compose,
    routes_exports,
    routes_plugins,
    routes_evaluations,
    routes_runs,  # the last: its paths take what no other took
)
"""Modules with a function `router(studio)`; their paths begin with /api."""


class Answer(JSONResponse):
    """JSON that is UTF-8 whatever is in it: half a pair of UTF-16, as data from the web has it, is an escape."""

    def render(self, content: Any) -> bytes:
        """The bytes of an answer."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def make_app(studio: Studio, options: Options) -> FastAPI:
    """What answers requests."""
    app = FastAPI(
        title="Tunesmith",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        default_response_class=Answer,
    )
    app.state.options = options
    access = Access(options.password)
    app.include_router(routes_session.router(access), prefix="/api")
    for routes in ROUTES:
        app.include_router(routes.router(studio), prefix="/api")
    for kind in (RequestValidationError, HTTPException, TunesmithError, Exception):
        app.add_exception_handler(kind, _told)
    app.get("/languages/index.json", include_in_schema=False)(languages)
    app.mount("/", PageFiles())
    app.add_middleware(
        Guard,
        access=access,
        names=own_names(options.host, options.hosts),
        hosts=options.hosts,
        policy=policy(),
    )
    return app


async def _told(request: Request, error: Exception) -> Response:
    """An error as a response: `{"error": {"message": …}}`; what was wrong first, then what to do, line by line."""
    status, headers = 400, None
    if isinstance(error, RequestValidationError):
        message, status = "\n".join(map(_wrong, error.errors())), 422
    elif isinstance(error, HTTPException):
        message, status, headers = str(error.detail), error.status_code, error.headers
    elif isinstance(error, TunesmithError):
        message = str(error)
    else:
        message, status = "the server failed to answer this request; its terminal tells why", 500
    return Answer({"error": {"message": in_language(request, message)}}, status, headers)


def _wrong(found: Mapping[str, Any]) -> str:
    """What is wrong with a part of a request, in words."""
    if found["type"] == "json_invalid":
        return f"the body is no JSON: {found['ctx']['error']} at character {found['loc'][-1]}"
    return f"{'.'.join(map(str, found['loc'][1:]))}: {found['msg']}"
