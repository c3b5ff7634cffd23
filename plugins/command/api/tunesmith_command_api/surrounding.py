"""What stands around all routes of the application, put together."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from tunesmith_library_serving.guarding import own_names

from . import routes_health
from .guarding import Guard
from .limits import Admission, Bodies
from .service import Service
from .watching import Watch


def surround(app: FastAPI, service: Service) -> None:
    """Add it. From the outside in: the log, what browsers are told, who may ask, how many, how much."""
    options = service.options
    app.include_router(routes_health.router(service.places, service.metrics))
    app.add_middleware(Bodies, most=options.max_body_bytes, depth=options.max_nesting, seconds=options.client_timeout)
    app.add_middleware(Admission, places=service.places)
    names = own_names(options.host, options.allow_host)
    app.add_middleware(Guard, key=options.api_key, names=names, origins=options.allow_origin)
    if options.allow_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.allow_origin,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "x-tunesmith-ignored-fields", "retry-after"],
        )
    app.add_middleware(Watch, metrics=service.metrics)
