"""What the text of an answer must be, in all the ways that clients say it; one grammar is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import Field
from tunesmith.errors import TunesmithError
from tunesmith_library_engine import grammars

from .errors import invalid
from .fields import Fields
from .sampling_fields import SamplingFields


class Schema(Fields):
    """A JSON Schema by name."""

    name: str | None = None
    description: str | None = None
    json_schema: dict[str, Any] | bool | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Fields):
    """What OpenAI's API calls it."""

    type: str
    json_schema: Schema | None = None


class StructuredOutputs(Fields):
    """What vLLM calls it."""

    json_schema: dict[str, Any] | str | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: Any = None


class ConstraintFields(SamplingFields):
    """The fields that say what the text must be; at most one of them."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | None = None  # the names that vLLM had for them before
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    guided_decoding_backend: str | None = None


def constraint_of(request: ConstraintFields) -> str | None:
    """The grammar of what the text must be; None where it may be anything.

    It may take long, for large schemas: not in an event loop.

    Raises: ApiError for two at a time, and for what cannot be a grammar.
    """
    found = [*_of_format(request.response_format), *_of_structured(request.structured_outputs), *_guided(request)]
    if len(found) > 1:
        fields = ", ".join(field for field, _ in found)
        raise invalid(f"one of these says what the text must be, not several: {fields}", found[1][0])
    for field, made in found:
        try:
            return made()
        except TunesmithError as error:
            raise invalid(f"{field}: {error}", field) from error
    return None


Made = tuple[str, Callable[[], str]]


def _of_format(asked: ResponseFormat | None) -> list[Made]:
    if asked is None or asked.type == "text":
        return []
    if asked.type == "json_object":
        return [("response_format", grammars.json_object)]
    if asked.type == "json_schema":
        schema = asked.json_schema.json_schema if asked.json_schema else None
        if schema is None:
            message = "response_format.json_schema.schema is missing: the schema that the text must follow"
            raise invalid(message, "response_format.json_schema")
        return [("response_format", lambda: grammars.json_schema(schema))]
    message = f"response_format.type {asked.type!r} is not possible; possible: text, json_object, json_schema"
    raise invalid(message, "response_format.type")


def _of_structured(asked: StructuredOutputs | None) -> list[Made]:
    if asked is None:
        return []
    if asked.structural_tag is not None:
        raise invalid("structured_outputs.structural_tag is not supported", "structured_outputs.structural_tag")
    given = _made("structured_outputs.", asked.json_schema, asked.regex, asked.choice, asked.grammar)
    return [*given, ("structured_outputs.json_object", grammars.json_object)] if asked.json_object else given


def _guided(asked: ConstraintFields) -> list[Made]:
    return _made("guided_", asked.guided_json, asked.guided_regex, asked.guided_choice, asked.guided_grammar)


def _made(
    prefix: str,
    schema: dict[str, Any] | str | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
) -> list[Made]:
    """A grammar for each that is given."""
    found: list[Made] = []
    if schema is not None:
        found.append((f"{prefix}json", lambda: grammars.json_schema(_parsed(schema))))
    if regex is not None:
        found.append((f"{prefix}regex", lambda: grammars.regex(regex)))
    if choice is not None:
        found.append((f"{prefix}choice", lambda: grammars.choice(choice)))
    if grammar is not None:
        found.append((f"{prefix}grammar", lambda: grammars.lark(grammar)))
    return found


def _parsed(schema: dict[str, Any] | str) -> dict[str, Any] | bool:
    if not isinstance(schema, str):
        return schema
    try:
        parsed = json.loads(schema)
    except ValueError as error:
        raise TunesmithError(f"this text is no JSON: {error}") from error
    if not isinstance(parsed, dict | bool):
        raise TunesmithError("a JSON Schema is an object")
    return parsed
