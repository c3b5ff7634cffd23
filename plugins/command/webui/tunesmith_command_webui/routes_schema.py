"""The form of every option that is installed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from tunesmith_library_studio import Studio


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["configurations"])

    @routes.get("/schema")
    def schema(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """All kinds of plugin, what is installed of each, and every option, as forms are made of it.

        `{"run": [option], "kinds": [{"name", "summary", "how_many": "one|optional|any|routed", "many", "default",
        "commands", "plugins": [{"name", "summary", "distribution", "version", "options": [option], "broken"?,
        "known_as"?}]}]}`. An option is `{"name", "help", "type", "required", "default"?, "guarded"?, "shape"}`; a shape
        has a `kind` (boolean, integer, number, text, choice, list, map, group, union, any) and what belongs to it:
        `optional`, `choices`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `item`, `fields`,
        `members`. What is installed while the server runs is there at the next request.
        """
        body, version = studio.forms.form()
        headers = {"ETag": f'"{version}"', "Cache-Control": "no-cache"}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    return routes
