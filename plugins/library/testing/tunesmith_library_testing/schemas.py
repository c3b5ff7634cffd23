"""JSON Schemas made at random, each of which bounds what is valid by it; and engines that answer by them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.types import Engine, Request, Sampling

_WORDS = ("name", "size", "a b", "né", "x-1", "kind", "day", "near", "__", "q")
_PATTERNS = ("^[a-z]{2,5}$", "^[A-Z][0-9]{3}$", "^(on|off)$", r"^\d{4}-\d{2}$", "^é+$")


def random_schema(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """A schema of an object."""
    schema = _object(rng, depth)
    if rng.random() < 0.4 and "maxProperties" not in schema:
        schema["$defs"] = {"part": _any(rng, 1), "word": _text(rng)}
        schema["properties"]["part"] = {"$ref": "#/$defs/part"}
        schema["properties"]["words"] = {"type": "array", "items": {"$ref": "#/$defs/word"}, "maxItems": 2}
        schema["required"] = [*schema["required"], "part"]
    return schema


def follow_schemas(engine: Engine, tokenizer: Any, schemas: Sequence[dict[str, Any]], **asked: Any) -> None:
    """Have answers made by schemas, all at once, and look whether each is valid by its own.

    Args:
        asked: of `Sampling`.
    """
    from jsonschema import Draft202012Validator
    from tunesmith_library_engine import grammars

    prompt = tokenizer.encode("Who are you?", add_special_tokens=False)
    requests = []
    for seed, schema in enumerate(schemas):
        wanted = {"max_new_tokens": 1500, "temperature": 1.0, "seed": seed, **asked}
        requests.append(Request(prompt, Sampling(grammar=grammars.json_schema(schema), **wanted)))
    for schema, answer in zip(schemas, [engine.submit(request) for request in requests], strict=True):
        told = answer.result()
        said = tokenizer.decode(told.token_ids[:-1])
        assert told.finish_reason == "stop", f"no end: {said}\n{schema}"
        Draft202012Validator(schema).validate(json.loads(said))


def _any(rng: random.Random, depth: int) -> dict[str, Any]:
    kinds: list[Callable[[random.Random], dict[str, Any]]] = [
        _text,
        _whole,
        _number,
        _fixed,
        lambda rng: {"type": "boolean"},
        lambda rng: {"type": "null"},
    ]
    if depth > 0:
        kinds += [lambda rng: _object(rng, depth - 1), lambda rng: _list(rng, depth - 1)] * 2
        kinds += [lambda rng: {"anyOf": [_any(rng, depth - 1), _whole(rng)]}]
        kinds += [lambda rng: {"type": ["string", "null"], "maxLength": 3}]
    schema: dict[str, Any] = rng.choice(kinds)(rng)
    return {**schema, "description": "Not the answer."} if rng.random() < 0.2 else schema


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(_WORDS, rng.randint(1, 4))
    required = [name for name in names if rng.random() < 0.6]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _any(rng, depth) for name in names},
        "required": required,
        "additionalProperties": False,
    }
    if rng.random() < 0.1:
        more = {"additionalProperties": {"type": "boolean"}, "maxProperties": len(names) + 1}
        schema |= {**more, "required": names}
    return schema


def _list(rng: random.Random, depth: int) -> dict[str, Any]:
    least = rng.randint(0, 2)
    if rng.random() < 0.2:
        return {"type": "array", "prefixItems": [_any(rng, depth), _whole(rng)], "items": False, "minItems": 2}
    return {"type": "array", "items": _any(rng, depth), "minItems": least, "maxItems": least + rng.randint(0, 2)}


def _text(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.3:
        pattern = rng.choice(_PATTERNS)
        return {"type": "string", "pattern": pattern, "maxLength": 7}
    if rng.random() < 0.2:
        return {"type": "string", "format": rng.choice(["date", "uuid", "ipv4", "time"])}
    least = rng.randint(0, 3)
    return {"type": "string", "minLength": least, "maxLength": least + rng.randint(0, 9)}


def _whole(rng: random.Random) -> dict[str, Any]:
    least = rng.randint(-1000, 1000)
    schema = {"type": "integer", "minimum": least, "maximum": least + rng.randint(0, 500)}
    return {**schema, "maximum": least + 50, "multipleOf": rng.choice([2, 5])} if rng.random() < 0.2 else schema


def _number(rng: random.Random) -> dict[str, Any]:
    least = round(rng.uniform(-10, 10), 2)
    low, high = rng.choice([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")])
    return (
        {"type": "number", low: least, high: least + rng.choice([0.5, 3, 1e4])}
        if rng.random() < 0.8
        else {"type": "number"}
    )


def _fixed(rng: random.Random) -> dict[str, Any]:
    values = ["a", 'né "x"', 1, -2.5, None, True, [1, "b"], {"c": {}}]
    if rng.random() < 0.4:
        return {"const": rng.choice(values)}
    return {"enum": rng.sample(values, rng.randint(1, 4))}
