"""The JSON Schema of a configuration, read from the fields of everything that is installed."""

from __future__ import annotations

import inspect
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.errors import PluginError
from tunesmith.kinds import KINDS, Kind
from tunesmith.options import options_schema
from tunesmith.planning import RunOptions


def config_schema(catalog: Catalog | None = None) -> dict[str, Any]:
    """Describe every key and option; a plugin that cannot be imported is left out."""
    catalog = catalog or Catalog.discover()
    properties = {
        "defaults": {"type": "array", "items": {"type": "string"}, "description": "files to inherit from"},
        **options_schema(RunOptions)["properties"],
    }
    for kind in KINDS.values():
        if kind.how_many != "command":
            properties[kind.name] = _kind_schema(kind, _plugins(kind, catalog))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tunesmith configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _plugins(kind: Kind, catalog: Catalog) -> dict[str, dict[str, Any]]:
    found = {}
    for name in catalog.names(kind.name):
        try:
            cls = catalog.load(catalog.find(kind.name, name))
            schema = options_schema(cls)
        except (PluginError, NameError, TypeError):  # NameError, TypeError: annotations that mean nothing
            continue
        found[name] = {"description": (inspect.getdoc(cls) or "").partition("\n")[0], **schema}
    return found


def _kind_schema(kind: Kind, plugins: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = list(plugins)
    if kind.many:
        chosen = {"type": ["boolean", "null"]}  # true or nothing: with its defaults; false: without it
        possible = {name: {"anyOf": [schema, chosen]} for name, schema in plugins.items()}
        by_name = {"type": "object", "properties": possible, "additionalProperties": False}
        listed = {"type": "array", "items": {"enum": names}}
        return {"description": kind.summary, "anyOf": [{"enum": [*names, None]}, listed, by_name]}
    forms: list[dict[str, Any]] = [{"enum": names}]
    for name, schema in plugins.items():
        form = {**schema, "properties": {"name": {"const": name}, **schema["properties"]}}
        forms.append(form if name in kind.default else {**form, "required": ["name"]})
    if kind.how_many == "optional":
        forms.append({"type": "null"})
    return {"description": kind.summary, "anyOf": forms}
