"""Records of an instruction and its answer, as in Stanford Alpaca (https://github.com/tatsu-lab/stanford_alpaca)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import ClassVar

from tunesmith import hookimpl, plugin
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
)

SHAPE = Fields(
    {
        **dict.fromkeys(("instruction", "input", "output", "chosen", "rejected"), TEXT),
        "history": ListOf(ListOf(TEXT, 2)),
        "label": ANYTHING,
        **BESIDE,
    }
)
ALIASES = {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "label"}


@plugin
class Alpaca:
    """`instruction`, `input` and `output`; earlier turns as pairs in `history`; `system`; `tools`; media.

    The user says the instruction, and the input on a new line. `chosen`+`rejected` instead of `output` make a
    preference, a true or false `label` (or `kto_tag`) a labelled answer; a record without an answer is a prompt.
    """

    reads: ClassVar[str] = "instruction, output; instruction, chosen, rejected"

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether there is an instruction with an answer or two, also under the names that `columns` may use."""
        if "instruction" not in record:
            return {"prompt", "response"} <= record.keys()
        pair = [record[name] for name in ("chosen", "rejected") if name in record]
        pairs = len(pair) == 2 and all(answer is None or isinstance(answer, str) for answer in pair)
        return pairs or "output" in record or "response" in record

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("alpaca", SHAPE.fields, columns, ALIASES)
        return convert(records, partial(_row, where=where), SHAPE, where)


def _row(record: Record, where: Columns) -> Row:
    get = partial(where.get, record)
    chosen, rejected, output = get("chosen"), get("rejected"), get("output")
    label = label_of(record, where)
    if where.of("output") not in record and any(where.of(name) in record for name in ("chosen", "rejected")):
        where.need(record, "instruction", "chosen", "rejected")
    else:
        paired = chosen is not None and rejected is not None
        where.need(record, "instruction", *(() if paired else ("output",)))
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


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _history(pairs: Sequence[Sequence[str]] | None) -> list[Message]:
    said = [({"role": "user", "content": question}, _answer(answer)) for question, answer in pairs or ()]
    return list(chain.from_iterable(said))
