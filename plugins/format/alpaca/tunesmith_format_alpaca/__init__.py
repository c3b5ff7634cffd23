"""Records of an instruction and its answer, as in Stanford Alpaca (https://github.com/tatsu-lab/stanford_alpaca)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Message, Row
from tunesmith_library_formats import (
    ANYTHING,
    BESIDE,
    TEXT,
    Columns,
    Fields,
    ListOf,
    Record,
    convert,
    finish,
    label_of,
    one_of,
)

SHAPE = Fields(
    {
        **dict.fromkeys(("instruction", "input", "chosen", "rejected"), TEXT),
        "output": one_of(TEXT, ListOf(TEXT, 2)),
        "history": ListOf(ListOf(TEXT, 2)),
        "label": ANYTHING,
        **BESIDE,
    }
)
_OTHER_NAMES = {"prompt": "instruction", "query": "input", "response": "output"}  # of columns, without a mapping too
ALIASES = {**_OTHER_NAMES, "kto_tag": "label"}
_ASKS = SHAPE.fields.keys() - {"output", "chosen", "rejected", "label"}  # columns that hold no answer


@plugin
class Alpaca:
    """`instruction`, `input` and `output`; earlier turns as pairs in `history`; `system`; `tools`; media.

    The user says the instruction, and the input on a new line. `chosen`+`rejected` instead of `output` make a
    preference, as does an `output` of two texts, the better one first; a true or false `label` (or `kto_tag`) makes a
    labelled answer. A record without an answer is a prompt. `prompt` and `response` are other names of `instruction`
    and `output`.
    """

    reads: ClassVar[str] = "instruction, output; instruction, chosen, rejected; prompt, response; instruction"

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether there is an instruction with an answer or two, also under the names that `columns` may use."""
        if "instruction" not in record:
            return all(name in record and isinstance(record[name], str | None) for name in ("prompt", "response"))
        pair = [record[name] for name in ("chosen", "rejected") if name in record]
        pairs = len(pair) == 2 and all(answer is None or isinstance(answer, str) for answer in pair)
        asks = isinstance(record["instruction"], str) and record.keys() <= _ASKS
        return pairs or "output" in record or "response" in record or asks

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("alpaca", SHAPE.fields, columns, ALIASES, needed=("instruction", "output"))
        return convert(records, partial(_row, where=where), SHAPE, where)


def _row(record: Record, where: Columns) -> Row:
    record = _named(record, where)
    get = partial(where.get, record)
    chosen, rejected, output = get("chosen"), get("rejected"), get("output")
    label = label_of(record, where)
    if where.of("output") not in record and any(where.of(name) in record for name in ("chosen", "rejected")):
        where.need(record, "instruction", "chosen", "rejected")
    else:
        answered = (chosen is not None and rejected is not None) or _only_asks(record, where)
        where.need(record, "instruction", *(() if answered else ("output",)))
    if isinstance(output, list | tuple):
        chosen, rejected = output
    question = "\n".join(filter(None, (get("instruction"), get("input"))))
    prompt = [*_history(get("history")), {"role": "user", "content": question}]
    if chosen is not None and rejected is not None:
        row: Row = {"prompt": prompt, "chosen": [_answer(chosen)], "rejected": [_answer(rejected)]}
    elif not output:
        row = {"prompt": prompt}
    elif label is not None:
        row = {"prompt": prompt, "completion": [_answer(output)], "label": label}
    else:
        row = {"messages": [*prompt, _answer(output)]}
    return finish(row, record, where)


def _named(record: Record, where: Columns) -> Record:
    """A record of `prompt` and `response` with our names. Raises: DataError where they hold no text."""
    if where.mapped("instruction") or where.mapped("output") or "instruction" in record or "output" in record:
        return record
    if not {"prompt", "response"} <= record.keys():
        return record
    for name in _OTHER_NAMES:
        if not isinstance(record.get(name), str | None):
            raise DataError(TEXT.fault(record[name], name))
    return {_OTHER_NAMES.get(name, name): value for name, value in record.items()}


def _only_asks(record: Record, where: Columns) -> bool:
    """Whether no column of the record can be its answer, so that it is a prompt."""
    return not where.mapped("output") and record.keys() <= {where.of(field) for field in _ASKS}


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _history(pairs: Sequence[Sequence[str]] | None) -> list[Message]:
    said = [({"role": "user", "content": question}, _answer(answer)) for question, answer in pairs or ()]
    return list(chain.from_iterable(said))
