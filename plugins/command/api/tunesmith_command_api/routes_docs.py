"""/docs: the routes and their fields on a page that needs nothing from elsewhere, no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from .service import Service

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h2 { border-top: 1px solid #8888; padding-top: 1em; } code { font-size: 90%; }
td, th { text-align: left; padding: 0.1em 1.5em 0.1em 0; vertical-align: top; } :root { color-scheme: light dark; }
"""


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        described = request.app.openapi()
        body = "".join(_page(described))
        title = escape(described["info"]["title"])
        style = f"<style>{_STYLE}</style>"
        head = f'<meta charset="utf-8"><title>{title}</title>{style}'
        return HTMLResponse(f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>')

    return routes


def _page(described: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h1>{escape(described['info']['title'])}</h1>"
    yield '<p>The same as <a href="openapi.json">OpenAPI</a>, for programs.</p>'
    schemas = described.get("components", {}).get("schemas", {})
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(route.get('description') or route.get('summary', ''))}</p>"
            content = route.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = _named(content.get("schema", {}), schemas)
            if schema.get("properties"):
                yield from _table(schema)


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a body."""
    yield "<table><tr><th>field</th><th>type</th></tr>"
    for name, field in schema["properties"].items():
        needed = " (needed)" if name in schema.get("required", ()) else ""
        yield f"<tr><td><code>{escape(name)}</code>{needed}</td><td>{escape(_type(field))}</td></tr>"
    yield "</table>"


def _named(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    return found


def _type(field: Mapping[str, Any]) -> str:
    """A field's type in a word or two."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        kinds = [_type(each) for each in field["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    return str(field.get("type", "any"))
