"""What an editor shows and allows beyond bare types: defaults and ranges in words, references, plugins in own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunesmith.ranges import Range

REFERENCE = {"type": "string", "pattern": r"\$\{"}
"""A value that is read elsewhere, `${oc.env:RATE}`: it may stand where a number, a choice or true and false do."""

ELSEWHERE = {
    "type": "string",
    "pattern": r".:.|\.py$|\$\{",
    "patternErrorMessage": "No installed plugin has this name.",
}
"""A plugin by its file, `loss.py:Mine`, or by its distribution, `acme:console`."""

_MOST = 60  # characters of a default that are shown


def hinted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of options whose descriptions tell default and range, and that accepts references to other values."""
    inner = {**schema}
    for name in ("items", "additionalProperties", "else"):
        if isinstance(inner.get(name), Mapping):
            inner[name] = hinted(inner[name])
    if "anyOf" in inner:
        inner["anyOf"] = [hinted(one) for one in inner["anyOf"]]
    for name in ("properties", "patternProperties"):
        if name in inner:
            inner[name] = {key: hinted(one) for key, one in inner[name].items()}
    if facts := _facts(schema):
        inner["description"] = "\n".join(filter(None, (schema.get("description"), facts)))
    return _referable(inner)


def _facts(schema: Mapping[str, Any]) -> str:
    """`default 8; from 1 to 65,536`"""
    facts = []
    if "default" in schema:
        text = json.dumps(schema["default"], ensure_ascii=False)
        facts.append(f"default {text}" if len(text) <= _MOST else "")
    return "; ".join(filter(None, (*facts, _range(schema))))


def _range(schema: Mapping[str, Any]) -> str:
    """The range of the numbers of a schema, or of those in it, in words."""
    low, high = (
        schema.get(one, schema.get(other))
        for one, other in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
    )
    if low is not None or high is not None:
        return str(Range(low, high, "exclusiveMinimum" in schema, "exclusiveMaximum" in schema))
    within = (*schema.get("anyOf", ()), *(schema[name] for name in ("items", "additionalProperties") if name in schema))
    return next(filter(None, (_range(one) for one in within if isinstance(one, Mapping))), "")


def _referable(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of a value that is no text, or some texts alone, which may be a reference, too.

    Of numbers an editor tells what is wrong by `else`; but what it proposes are the values of `anyOf`.
    """
    told: dict[str, Any] = {name: schema[name] for name in ("description", "default") if name in schema}
    checked = {name: value for name, value in schema.items() if name not in told}
    if schema.get("type") == "boolean" or ("enum" in schema and "type" not in schema):
        return {**told, "anyOf": [checked, REFERENCE]}
    if schema.get("type") in ("integer", "number"):
        return {**told, "if": REFERENCE, "then": {}, "else": checked}
    return schema
