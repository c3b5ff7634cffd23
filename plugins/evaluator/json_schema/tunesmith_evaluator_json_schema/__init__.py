"""Answers that must be JSON of a schema (https://json-schema.org): how many are, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import filled, path_like
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_evaluating.prompts import Prompt
    from tunesmith_library_evaluating.replies import Reply
    from tunesmith_library_scoring.schemas import SchemaSource

_NUMBERS = ("valid", "json", "equal")
_METRICS = {**dict.fromkeys(_NUMBERS, True), "unfinished": False, "truncated": False}


@plugin
class JsonSchema(Asking):
    """The shares of answers that are JSON of a schema, that are JSON at all, and that say what is expected.

    An answer is JSON as a whole, or in its last code block. The schema is given here, in a file, or with each row.
    """

    schema: dict[str, Any] = {}  # the schema itself: {type: object, …}
    file: Annotated[str | None, path_like] = None  # path of a JSON file that holds the schema
    column: Annotated[str | None, filled] = None  # of the row, which holds its schema as JSON or as text

    traits: ClassVar[EvaluatorTraits] = EvaluatorTraits(
        metrics={f"json_schema_{name}": greater for name, greater in _METRICS.items()}
    )

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        return self._source().problems()

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there is nothing to measure, or for a row whose schema is none, with its place."""
        from tunesmith_library_evaluating.answering import cut_short
        from tunesmith_library_evaluating.replies import asked_of, replies
        from tunesmith_library_evaluating.statistics import mean

        source, metrics, records = self._source(), dict[str, Any](), list[dict[str, Any]]()
        for some in asked_of(data, self, "json_schema", self._lacks).values() if self.column else ():
            for it in some:
                _validator(source, it.prompt, it.index)  # before the first answer
        for name, found in replies(chat, data, self, "json_schema", self._lacks).items():
            judged = [_judged(source, it) for it in found]
            numbers = {number: [own[number] for own in judged if number in own] for number in _NUMBERS}
            means = {number: mean(values) for number, values in numbers.items() if values}
            metrics[name] = {**means, **cut_short([it.answer for it in found])}
            records += [it.record(**own) for it, own in zip(found, judged, strict=True)]
        where = {"schema": self.schema, "file": self.file, "column": self.column}
        return Evaluation(metrics, records, {**self.settings(chat), **where})

    def _lacks(self, prompt: Prompt) -> str | None:
        lacking = self.column and prompt.columns.get(self.column) is None
        return f"have no column {self.column}" if lacking else None

    def _source(self) -> SchemaSource:
        from tunesmith_library_scoring.schemas import SchemaSource

        return SchemaSource("evaluator.json_schema", self.schema, self.file, self.column)


def _judged(source: SchemaSource, reply: Reply) -> Mapping[str, Any]:
    """The numbers of one answer, and what is wrong with it."""
    from jsonschema.exceptions import best_match
    from tunesmith_library_scoring.schemas import json_of, same_json

    found, value = json_of(reply.answer.text)
    wrong = best_match(_validator(source, reply.prompt, reply.index).iter_errors(value)) if found else None
    told: dict[str, Any] = {"valid": float(found and wrong is None), "json": float(found)}
    meant, expected = json_of(reply.prompt.answer or "")
    if meant:
        told["equal"] = float(found and same_json(value, expected))
    if not found:
        told["problem"] = "it is no JSON"
    elif wrong is not None:
        told["problem"] = f"{wrong.json_path}: {wrong.message}"
    return told


def _validator(source: SchemaSource, prompt: Prompt, index: int) -> Any:
    """Raises: DataError for what is no schema, with its place."""
    from tunesmith_library_scoring.schemas import validator_of

    try:
        return validator_of(source.of(prompt.columns))
    except DataError as error:
        raise DataError(f"data set {prompt.dataset}, row {index}: {error}") from error
