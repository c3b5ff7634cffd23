"""Documents to rows of token ids."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Row
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of, written
from tunesmith_library_formats import Sizes
from tunesmith_library_training.fitting import place_of

Documents = Sequence[list[int]]


def documents_of(rows: Sequence[Row], processor: Any, template: ChatTemplate) -> list[list[int]]:
    """Token ids of each document (rows with `text`) as its tokenizer begins it, with a learned end-of-text token.

    Special tokens that a document spells are text, unless the template takes them for tokens.

    Raises: TunesmithError when the tokenizer has no end-of-text token.
    """
    tokenizer = tokenizer_of(processor)
    end = tokenizer.eos_token_id
    if end is None:
        raise TunesmithError("stage.pretrain: the tokenizer has no eos_token to end a document with")
    texts = [written(row["text"], template.control) for row in rows if row["text"]]
    encodings = tokenize(tokenizer, texts, control=template.control, add_special_tokens=True)
    ids = [encoding.ids for encoding in encodings]
    return [document if document[-1:] == [end] else [*document, end] for document in ids]


def join(documents: Documents, max_length: int, isolate: bool) -> dict[str, list[Any]]:
    """One stream of all documents, cut into rows of `max_length` tokens; the last ones may be shorter, see `_starts`.

    Returns: `input_ids`, `labels`, and with `isolate` the `sequence_lengths` of the pieces of documents in each row.
    """
    stream = list(chain.from_iterable(documents))
    starts = _starts(len(stream), max_length)
    stops = [*starts[1:], len(stream)]
    columns = columns_of([stream[start:stop] for start, stop in zip(starts, stops, strict=True)])
    if not isolate:
        return columns
    ends = list(accumulate(map(len, documents)))
    lengths = []
    for start, stop in zip(starts, stops, strict=True):
        inner = ends[bisect_right(ends, start) : bisect_left(ends, stop)]
        lengths.append([after - before for before, after in pairwise([start, *inner, stop])])
    return {**columns, "sequence_lengths": lengths}


def split(document: list[int], max_length: int, keep_rest: bool) -> list[list[int]]:
    """The rows of one document: the first `max_length` tokens, and with `keep_rest` the others too.

    A row of one token is left out: nothing predicts it, and it predicts nothing.
    """
    starts = _starts(len(document), max_length) if keep_rest else [0]
    stops = [*starts[1:], len(document)] if keep_rest else [max_length]
    rows = [document[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return [row for row in rows if len(row) > 1]


def _starts(length: int, max_length: int) -> list[int]:
    """Where rows begin; a last one of one token, which nothing would predict, takes another from the row before it."""
    starts = list(range(0, length, max_length))
    if length % max_length == 1 and len(starts) > 1 and max_length > 2:
        starts[-1] -= 1
    return starts


def sizes_of(rows: Sequence[Row], documents: Documents, columns: Mapping[str, list[Any]]) -> Sizes:
    """How many tokens documents have, and the rows that became of them; nothing predicts what a sequence begins with.

    Args:
        rows: that the documents are of.
        columns: with `sequence_lengths` where a row is of several sequences.
    """
    lengths = [len(row) for row in columns["input_ids"]]
    sequences = sum(map(len, columns.get("sequence_lengths", [[length] for length in lengths])))
    sizes = Sizes(sum(lengths), sum(lengths) - sequences)
    for row, document in zip(rows, documents, strict=True):
        sizes.add(Sizes(longest=len(document), place=place_of([row])))
    return sizes


def columns_of(rows: list[list[int]]) -> dict[str, list[Any]]:
    """Rows of which all is trained."""
    return {"input_ids": rows, "labels": [list(row) for row in rows]}
