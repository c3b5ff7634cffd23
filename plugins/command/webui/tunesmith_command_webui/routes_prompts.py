"""The library of prompts: names, texts with variables, tags, former versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio


class Prompt(BaseModel):
    """A prompt."""

    name: str = Field(min_length=1, max_length=200)
    text: str = Field("", description="what the user says; {{name}} is a variable")
    system: str = Field("", description="a system message, with variables, too")
    tags: list[str] = []


class Changes(BaseModel):
    """What is changed of a prompt; a former text stays among its versions."""

    name: str | None = Field(None, min_length=1, max_length=200)
    text: str | None = None
    system: str | None = None
    tags: list[str] | None = None


class Imported(BaseModel):
    """Prompts of a file, as GET /api/prompts gives them."""

    prompts: list[Prompt]


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/prompts", tags=["prompts"])

    @routes.get("")
    def listed(
        search: Annotated[str, Query(description="stands in name, text or tags")] = "", tag: str = ""
    ) -> dict[str, Any]:
        """`{"items": [{name, text, system, tags, variables, versions: [{text, system, time}]}], "total": n}`."""
        found = studio.data.prompts.listed(search, tag)
        return {"items": found, "total": len(found)}

    @routes.post("", status_code=201)
    def add(prompt: Prompt) -> dict[str, Any]:
        """Add a prompt; its name must be new."""
        return studio.data.prompts.add(prompt.model_dump())

    @routes.post("/import")
    def take_in(given: Imported) -> dict[str, int]:
        """Add prompts, and change those whose names are known: `{added, changed, same}`."""
        return studio.data.prompts.take_in([prompt.model_dump(exclude_unset=True) for prompt in given.prompts])

    @routes.get("/{name:path}")
    def one(name: str) -> dict[str, Any]:
        """One prompt."""
        return studio.data.prompts.get(name)

    @routes.patch("/{name:path}")
    def change(name: str, changes: Changes) -> dict[str, Any]:
        """Change some of a prompt."""
        return studio.data.prompts.change(name, changes.model_dump(exclude_none=True))

    @routes.delete("/{name:path}", status_code=204)
    def remove(name: str) -> None:
        """Delete a prompt with its versions."""
        studio.data.prompts.remove(name)

    return routes
