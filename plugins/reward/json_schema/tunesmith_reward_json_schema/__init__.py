"""Answers that are JSON of a schema (https://json-schema.org), for models that are to fill in forms or call tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import between, filled, path_like
from tunesmith.types import Problem

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_KEY = "reward.json_schema"


@plugin
class JsonSchema:
    """1 for an answer that is JSON of a schema, `partial` for other JSON, 0 for no JSON.

    An answer is JSON as a whole, or in its last code block. The schema is given here, in a file, or with each row.
    """

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    schema: dict[str, Any] = {}  # the schema itself: {type: object, …}
    file: Annotated[str | None, path_like] = None  # path of a JSON file that holds the schema
    column: Annotated[str | None, filled] = None  # of the row, which holds its schema as JSON or as text
    partial: Annotated[float, between(0, 1)] = 0.0  # score of JSON that is not of the schema

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        given = [name for name in ("schema", "file", "column") if getattr(self, name)]
        if len(given) != 1:
            message = f"{' and '.join(given) or 'no schema'} given."
            return [Problem(_KEY, message, "give exactly one of schema, file and column")]
        if self.column:
            return []
        if self.file and not Path(self.file).expanduser().is_file():
            return [Problem(f"{_KEY}.file", f"there is no file {self.file}.", f"looked from {Path.cwd()}")]
        try:
            _validator(self._schema({}))
        except DataError as error:
            return [Problem(f"{_KEY}.{given[0]}", str(error))]
        return []

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        shared = None if self.column else _validator(self._schema({}))
        scores = []
        for answer, row in zip(completions, rows, strict=True):
            validator = shared or _validator(self._schema(row))
            found, value = _json_of(answer)
            good = found and validator.is_valid(value)
            scores.append(1.0 if good else self.partial if found else 0.0)
        return scores

    def _schema(self, row: Mapping[str, Any]) -> Any:
        """Raises: DataError when there is no schema where one was promised, or it is no JSON."""
        if self.schema:
            return self.schema
        if self.column and self.column not in row:
            raise DataError(f"{_KEY}: a row has no {self.column}; it has {', '.join(sorted(row)) or 'no columns'}")
        text = row[self.column] if self.column else Path(str(self.file)).expanduser().read_text(encoding="utf-8")
        try:
            return json.loads(text) if isinstance(text, str) else text
        except ValueError as error:
            raise DataError(f"the schema is not JSON: {error}") from error


def _validator(schema: Any) -> Any:
    import jsonschema

    made = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        made.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise DataError(f"this is no JSON Schema: {error.message}") from error
    return made(schema)


def _json_of(answer: str) -> tuple[bool, Any]:
    """Whether an answer is JSON, and what it says. NaN and Infinity are none."""
    for text in (answer, *_FENCE.findall(answer)[-1:]):
        try:
            return True, json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
    return False, None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
