"""Schemas, where they come from, and what of an answer is JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import DataError
from tunesmith.types import Problem

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class SchemaSource:
    """Where the schemas of answers stand: given once, in a file, or with each row."""

    key: str  # of the plugin that was told
    schema: Mapping[str, Any]
    file: str | None
    column: str | None

    def problems(self) -> list[Problem]:
        """What is wrong with it before any row is read."""
        given = [name for name in ("schema", "file", "column") if getattr(self, name)]
        if len(given) != 1:
            message = f"{' and '.join(given) or 'no schema'} given."
            return [Problem(self.key, message, "give exactly one of schema, file and column")]
        if self.column:
            return []
        if self.file and not Path(self.file).expanduser().is_file():
            return [Problem(f"{self.key}.file", f"there is no file {self.file}.", f"looked from {Path.cwd()}")]
        try:
            validator_of(self.of({}))
        except DataError as error:
            return [Problem(f"{self.key}.{given[0]}", str(error))]
        return []

    def of(self, row: Mapping[str, Any]) -> Any:
        """The schema of a row's answer.

        Raises: DataError when there is none where one was promised, or it is no JSON.
        """
        if self.schema:
            return self.schema
        if self.column and self.column not in row:
            raise DataError(
                f"{self.key}: a row has no {self.column}; it has {', '.join(sorted(row)) or 'no columns'}.\n"
                f"  keep the file's column: data.train=[{{path: FILE, keep: [{self.column}]}}], or set .column"
            )
        text = row[self.column] if self.column else Path(str(self.file)).expanduser().read_text(encoding="utf-8")
        try:
            return json.loads(text) if isinstance(text, str) else text
        except ValueError as error:
            raise DataError(f"the schema is not JSON: {error}") from error


def validator_of(schema: Any) -> Any:
    """A validator of the jsonschema library.

    Raises: DataError for what is no JSON Schema.
    """
    import jsonschema

    made = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        made.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise DataError(f"this is no JSON Schema: {error.message}") from error
    return made(schema)


def json_of(answer: str) -> tuple[bool, Any]:
    """Whether an answer is JSON, as a whole or in its last code block, and what it says. NaN and Infinity are none."""
    for text in (answer, *_FENCE.findall(answer)[-1:]):
        try:
            return True, json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
    return False, None


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON, in which true is not 1, and the order of keys does not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
