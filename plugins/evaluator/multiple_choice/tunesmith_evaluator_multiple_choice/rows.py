"""Questions of the run's own evaluation sets: rows whose last question has a column `choices` beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_evaluating.prompts import prompt_of

from tunesmith_evaluator_multiple_choice.questions import Question, question_of


def questions_of_rows(sets: Mapping[str, Sequence[Row]]) -> dict[str, list[Question]]:
    """The questions of evaluation sets, by name.

    A row has a column `question`, else it is what the user says last; `answer`, else what the assistant says to it.

    Raises: DataError for a row that is no question with choices, with its place, and for one that shows something.
    """
    return {name: [_placed(name, index, row) for index, row in enumerate(rows)] for name, rows in sets.items()}


def _placed(name: str, index: int, row: Row) -> Question:
    try:
        return _question(name, row)
    except DataError as error:
        told = "a set of another shape is read from its files: evaluator.multiple_choice.path=FILE"
        raise DataError(f"data set {name}, row {index}: {error}\n  {told}") from error


def _question(name: str, row: Row) -> Question:
    prompt = prompt_of(name, row)
    if prompt.media:
        raise DataError(f"it shows {', '.join(prompt.media)}, and questions with choices are text")
    record = {**prompt.columns}
    record.setdefault("question", prompt.messages[-1].get("content"))
    if prompt.answer is not None:
        record.setdefault("answer", prompt.answer)
    found = question_of(record)
    if found.answer is None:
        raise DataError("its question has no answer")
    return found
