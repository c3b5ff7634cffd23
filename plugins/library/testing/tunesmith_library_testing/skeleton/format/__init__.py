"""A data format: records with a question and its answer."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Row


@plugin
class Placeholder:
    """A question and an answer, each a column of text."""

    reads: ClassVar[str] = "question, answer"  # its columns, for lists of formats; semicolons divide several shapes

    system: str | None = None  # system message of every conversation

    @staticmethod
    def looks_like(record: Mapping[str, Any]) -> bool:
        """Whether a record is of this format; of several that say yes, the one that needs the most of it wins."""
        return "question" in record and "answer" in record

    @hookimpl
    def to_rows(self, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
        question, answer = columns.get("question", "question"), columns.get("answer", "answer")
        opening = [{"role": "system", "content": self.system}] if self.system else []
        for number, record in enumerate(records):
            if question not in record or answer not in record:
                raise DataError(
                    f"record {number} has the columns {', '.join(record)}; looked for {question} and {answer}.\n"
                    f"say where they are: columns: {{question: …, answer: …}}"
                )
            asked = {"role": "user", "content": record[question]}
            said = {"role": "assistant", "content": record[answer]}
            yield {"messages": [*opening, asked, said]}
