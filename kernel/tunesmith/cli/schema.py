"""The JSON Schema of a configuration, read from the fields of everything that is installed."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.cli.schema_hints import ELSEWHERE, hinted
from tunesmith.errors import PluginError
from tunesmith.kinds import KINDS, Kind
from tunesmith.options import options, plain, shorthand
from tunesmith.planning import RunOptions
from tunesmith.ranges import Range
from tunesmith.upgrades import VERSION


def config_schema(catalog: Catalog | None = None) -> dict[str, Any]:
    """Describe every key and option; a plugin that cannot be imported is left out."""
    catalog = catalog or Catalog.discover()
    properties = {
        "defaults": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "files to inherit from; later ones win, and this file over all of them",
        },
        VERSION: {"type": "string", "description": "the version that wrote the file"},
        **hinted(options_schema(RunOptions))["properties"],
    }
    for kind in KINDS.values():
        if kind.how_many != "installed":
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
        found[name] = {"description": (inspect.getdoc(cls) or "").partition("\n")[0], **hinted(schema)}
    return found


def _kind_schema(kind: Kind, plugins: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = {"enum": list(plugins), "enumDescriptions": [schema["description"] for schema in plugins.values()]}
    forms = _many(kind, plugins, names) if kind.many else _one(kind, plugins, names)
    return {"description": kind.summary, "anyOf": forms}


def _one(kind: Kind, plugins: dict[str, dict[str, Any]], names: dict[str, Any]) -> list[dict[str, Any]]:
    """A name, or a mapping with the options of the plugin that it names."""
    forms = [names]
    for name, schema in plugins.items():
        called = {"const": name, "description": schema["description"]}
        form = {**schema, "properties": {"name": called, **schema["properties"]}}
        forms.append(form if name in kind.default else {**form, "required": ["name"]})
    others = {"type": "object", "properties": {"name": ELSEWHERE}, "required": ["name"]}
    nothing = [{"enum": [None, False]}] if kind.how_many == "optional" else []
    return [*forms, *nothing, ELSEWHERE, others]


def _many(kind: Kind, plugins: dict[str, dict[str, Any]], names: dict[str, Any]) -> list[dict[str, Any]]:
    """A name, a list of names, or a mapping of names to options."""
    chosen = {"type": ["boolean", "null"]}  # true or nothing: with its defaults; false: without it
    possible: dict[str, Any] = {
        name: {"description": schema["description"], "anyOf": [schema, chosen]} for name, schema in plugins.items()
    }
    if kind.common:  # beside the names stand options of all of them
        every = {name: option for schema in plugins.values() for name, option in schema["properties"].items()}
        possible = {**every, "name": names, **possible}
    by_name = {"type": "object", "properties": possible, "additionalProperties": False}
    by_name["patternProperties"] = {ELSEWHERE["pattern"]: {"type": ["object", "boolean", "null"]}}
    listed = {"type": "array", "items": {"anyOf": [names, ELSEWHERE]}}
    return [names, listed, by_name, {"type": "null"}, ELSEWHERE]


_JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def json_schema(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of an option's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _JSON_TYPES:
        return {"type": _JSON_TYPES[annotation]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [json_schema(argument) for argument in arguments]}
    if origin is list:
        return {"type": "array", "items": json_schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": json_schema(arguments[1])}
    if dataclasses.is_dataclass(annotation):
        schema = options_schema(typing.cast(type, annotation))
        short = shorthand(annotation)
        return {"anyOf": [{"type": "string"}, schema]} if short else schema
    return {}


def options_schema(cls: type) -> dict[str, Any]:
    """The JSON Schema of a plugin's options: properties with types, defaults and documentation."""
    properties = {}
    for option in options(cls):
        schema = _ranged(json_schema(option.type), option.range)
        if option.doc:
            schema["description"] = option.doc
        if not option.required:
            schema["default"] = plain(option.default)
        properties[option.name] = schema
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _ranged(schema: dict[str, Any], allowed: Range | None) -> dict[str, Any]:
    """A schema whose numbers, itself or within, have a range."""
    if allowed is None:
        return schema
    inner: dict[str, Any] = {
        name: _ranged(schema[name], allowed) for name in ("items", "additionalProperties") if name in schema
    }
    if "anyOf" in schema:
        inner["anyOf"] = [_ranged(item, allowed) for item in schema["anyOf"]]
    numbers = allowed.json_schema() if schema.get("type") in ("integer", "number") else {}
    return {**schema, **inner, **numbers}
