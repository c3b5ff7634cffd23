"""Answers that are JSON of a schema (https://json-schema.org), for models that are to fill in forms or call tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled, path_like
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith_library_scoring.schemas import SchemaSource


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
        return self._source().problems()

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        from tunesmith_library_scoring.schemas import json_of, validator_of

        source = self._source()
        shared = None if self.column else validator_of(source.of({}))
        scores = []
        for answer, row in zip(completions, rows, strict=True):
            validator = shared or validator_of(source.of(row))
            found, value = json_of(answer)
            good = found and validator.is_valid(value)
            scores.append(1.0 if good else self.partial if found else 0.0)
        return scores

    def _source(self) -> SchemaSource:
        from tunesmith_library_scoring.schemas import SchemaSource

        return SchemaSource("reward.json_schema", self.schema, self.file, self.column)
