"""Whether the server can answer, and what it did."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from tunesmith_command_api.limits import Places
from tunesmith_command_api.metrics import CONTENT_TYPE, Metrics


def router(places: Places, metrics: Metrics) -> APIRouter:
    """`/health` and `/metrics`."""
    made = APIRouter(tags=["server"])

    @made.get("/health")
    async def health() -> JSONResponse:
        """200 while requests are taken; 503 while the server ends."""
        if places.draining:
            return JSONResponse({"status": "draining"}, status_code=503)
        return JSONResponse({"status": "ready"})

    @made.get("/metrics")
    async def metrics_text() -> Response:
        """Counters as Prometheus reads them."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    return made
