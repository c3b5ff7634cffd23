"""Models that can be chosen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from tunesmith_library_studio import Studio

Kind = Literal["run", "checkpoint", "export", "adapter", "model", "file", "cached", "known"]


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models")
    def models(
        search: Annotated[str, Query(description="words of a name, address or template; all must be there")] = "",
        kind: Annotated[list[Kind] | None, Query(description="kinds; none asks for all")] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Models of the workspace, of the hubs' caches and known by name: `items`, `total`, and `whole`, which is false
        where there were too many folders to look at.

        An item has `address` (what `model.path`, or a command, takes), `name`, `kind`, and of the following what is
        known: `parameters` (`by_name` where only the name says so), `size` (bytes of the weights), `dtype`,
        `quantized`, `context` (tokens), `architecture`, `model_type`, `template`, `hubs`, `base`, `rank`, `licence`,
        `modified`.
        """
        return studio.models.listed(search, tuple(kind or ()), offset, limit)

    @routes.get("/models/described")
    def described(address: Annotated[str, Query(description="name, hub id or path")]) -> dict[str, Any]:
        """What is known of one model, as an item of the list; of a hub's id that nobody knows little is."""
        return studio.models.describe(address)

    return routes
