"""Questions about a passage, in the columns of SQuAD: `format: squad.py:Squad` in a data set's entry."""

from functools import partial
from typing import ClassVar

from tunesmith import hookimpl, plugin
from tunesmith_library_formats import BESIDE, TEXT, Columns, Fields, ListOf, convert, finish

SHAPE = Fields({"context": TEXT, "question": TEXT, "answers": Fields({"text": ListOf(TEXT)}), **BESIDE})


@plugin
class Squad:
    """A passage, a question about it, and the first of its answers."""

    reads: ClassVar[str] = "context, question, answers"
    unanswerable: str = "The passage does not say."  # the answer to a question that has none

    @staticmethod
    def looks_like(record):
        answers = record.get("answers")
        return {"context", "question"} <= record.keys() and isinstance(answers, dict) and "text" in answers

    @hookimpl
    def to_rows(self, records, columns):
        where = Columns("squad", SHAPE.fields, columns)
        return convert(records, partial(self._row, where=where), SHAPE, where)

    def _row(self, record, where):
        context, question, answers = where.need(record, "context", "question", "answers")
        asked = {"role": "user", "content": f"{context}\n\n{question}"}
        said = {"role": "assistant", "content": ((answers or {}).get("text") or [self.unanswerable])[0]}
        return finish({"messages": [asked, said]}, record, where)
