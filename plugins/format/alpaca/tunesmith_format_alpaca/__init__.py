"""Records of an instruction and its answer, as in Stanford Alpaca (https://github.com/tatsu-lab/stanford_alpaca)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Message, Row
from tunesmith_library_formats import MEDIA, Columns, Record, convert, finish, label_of, shorten

FIELDS = ("instruction", "input", "output", "history", "system", "tools", "chosen", "rejected", "label", *MEDIA)
ALIASES = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"}


@plugin
class Alpaca:
    """`instruction`, `input` and `output`; earlier turns as pairs in `history`; `system`; `tools`; media.

    The user says the instruction, and the input on a new line. `chosen`+`rejected` instead of `output` make a
    preference, a true or false `label` (or `kto_tag`) a labelled answer; a record with an empty `output` is a prompt.
    """

    reads: ClassVar[str] = "instruction, output; instruction, chosen, rejected"

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether there is an instruction with an answer or two, also under the names that `columns` may use."""
        if "instruction" not in record:
            return {"prompt", "response"} <= record.keys()
        pair = isinstance(record.get("chosen"), str) and isinstance(record.get("rejected"), str)
        return pair or "output" in record or "response" in record

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("alpaca", FIELDS, columns, ALIASES)
        return convert(records, partial(_row, where=where))


def _row(record: Record, where: Columns) -> Row:
    get = partial(where.get, record)
    chosen, rejected, output = get("chosen"), get("rejected"), get("output")
    label = label_of(record, where)
    if chosen is None or rejected is None:
        where.need(record, "instruction", "output")
    else:
        where.need(record, "instruction")
    question = "\n".join(filter(None, (_text(get("instruction"), "instruction"), _text(get("input"), "input"))))
    prompt = [*_history(get("history")), {"role": "user", "content": question}]
    if chosen is not None and rejected is not None:
        row: Row = {"prompt": prompt, "chosen": _answer(chosen, "chosen"), "rejected": _answer(rejected, "rejected")}
    elif not output:
        row = {"prompt": prompt}
    elif label is not None:
        row = {"prompt": prompt, "completion": _answer(output, "output"), "label": label}
    else:
        row = {"messages": [*prompt, *_answer(output, "output")]}
    return finish(row, record, where)


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{field} must be text, found {shorten(value)}")
    return value


def _answer(value: Any, field: str) -> list[Message]:
    return [{"role": "assistant", "content": _text(value, field)}]


def _history(pairs: Any) -> list[Message]:
    messages: list[Message] = []
    for pair in pairs or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DataError(f"history must be a list of [question, answer], found {shorten(pair)}")
        messages.append({"role": "user", "content": _text(pair[0], "history")})
        messages += _answer(pair[1], "history")
    return messages
