"""What tools declare of their arguments: the JSON types by which values that a format writes bare are told; `42` may be
a number or a text."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}
_DEEPEST = 16  # references and alternatives within each other


@dataclass(frozen=True)
class Declared:
    """What is declared of one value; without a schema, nothing is.

    Args:
        schema: its JSON schema.
        root: the schema of all parameters, in which references are looked up.
    """

    schema: Mapping[str, Any] = field(default_factory=dict)
    root: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> frozenset[str]:
        """The JSON types that it may have; none: any."""
        return _kinds(self.schema, self.root, _DEEPEST)

    def inside(self, key: str) -> Declared:
        """What is declared of a property of the object that it is."""
        for schema in _alternatives(self.schema, self.root, _DEEPEST):
            for found in (_mapping(schema.get("properties")).get(key), schema.get("additionalProperties")):
                if isinstance(found, Mapping):
                    return Declared(found, self.root)
        return Declared()

    @property
    def item(self) -> Declared:
        """What is declared of the items of the list that it is."""
        schemas = _alternatives(self.schema, self.root, _DEEPEST)
        found = next((items for schema in schemas if isinstance(items := schema.get("items"), Mapping)), {})
        return Declared(found, self.root)

    def value(self, text: str) -> Any:
        """The value that stands there bare: a text where that is declared, else JSON, or what Python writes for it."""
        kinds = self.kinds
        if kinds == {"string"}:
            return text
        if not text.strip() and kinds and not kinds - {"array", "object"}:
            return [] if "array" in kinds else {}
        value = _bare(text)
        return text if kinds and "string" in kinds and _kind(value) not in kinds else value


NOTHING_DECLARED = Declared()

Types = Mapping[str, Declared]
"""By tool what it declares of its arguments: an object."""


def declared(tools: Sequence[Mapping[str, Any]] | None) -> Types:
    """What tools declare of their arguments."""
    functions = [tool.get("function") or tool for tool in tools or ()]
    given = {str(function.get("name")): _mapping(function.get("parameters")) for function in functions}
    return {name: Declared(schema, schema) for name, schema in given.items()}


def _kinds(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> frozenset[str]:
    found: set[str] = set()
    for one in _alternatives(schema, root, depth):
        said = one.get("type")
        if said is None and ("enum" in one or "const" in one):
            options = one["enum"] if isinstance(one.get("enum"), list) else [one.get("const")]
            kinds = {_kind(option) for option in options}
        elif said is None:
            kinds = {kind for kind, key in (("object", "properties"), ("array", "items")) if key in one}
        else:
            names = (str(name).lower() for name in (said if isinstance(said, list) else [said]))
            kinds = {_NAMES.get(name, name) for name in names}
        if not kinds:
            return frozenset()
        found |= kinds | ({"null"} if one.get("nullable") is True else set())
    return frozenset(found | {"integer"} if "number" in found else found)


def _alternatives(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The schemas of which a value fits one; of those that all hold, the first that says something."""
    if depth and isinstance(schema.get("$ref"), str):
        yield from _alternatives(referred(schema["$ref"], root), root, depth - 1)
        return
    either = next((schema[key] for key in ("anyOf", "oneOf") if isinstance(schema.get(key), list)), None)
    every = schema.get("allOf")
    if depth and either and "type" not in schema:
        for one in either:
            yield from _alternatives(_mapping(one), root, depth - 1)
    elif depth and isinstance(every, list) and "type" not in schema:
        told = [_mapping(one) for one in every]
        yield from _alternatives(next((one for one in told if _kinds(one, root, depth - 1)), {}), root, depth - 1)
    else:
        yield schema


def referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference such as `#/$defs/Place` stands for; nothing where it leads nowhere."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) and step else found
    return _mapping(found)


def _kind(value: Any) -> str:
    """The JSON type of a value."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _bare(text: str) -> Any:
    """A bare value: JSON, or what Python writes for the same, where it is that; else text."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        value = _literal(text.strip(), text)
    return text if isinstance(value, str) else value


def _literal(text: str, otherwise: str) -> Any:
    """What Python's notation of a value of JSON stands for, such as `{'a': None}`."""
    if not text.startswith(("{", "[", "None", "True", "False")):
        return otherwise
    try:
        return json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return otherwise


def _finite(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
