"""Plugins: what is installed, what each is, what can be installed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from tunesmith_library_studio import Studio


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["plugins"])

    @routes.get("/plugins")
    def plugins() -> dict[str, Any]:
        """All plugins: `items` (`kind`, `name`, `distribution`, `version`, `summary`, `state` ok, broken or hidden, and
        `why`), `kinds`, `warnings`; `available` and `extras`, each with the command that installs it (`install`).

        A plugin that was installed since the last request is among them.
        """
        return studio.installed.listed()

    @routes.get("/plugins/{kind}/{name}")
    def plugin(
        kind: str,
        name: str,
        distribution: Annotated[str, Query(description="where several offer the name")] = "",
    ) -> dict[str, Any]:
        """One plugin: also `doc`, `traits` (`name`, `value`), `options` as the form has them, `readme` (Markdown),
        `homepage`, `licence`, `requires`."""
        return studio.installed.shown(kind, name, distribution)

    return routes
