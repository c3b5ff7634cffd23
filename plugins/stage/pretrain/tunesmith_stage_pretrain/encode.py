"""Documents to rows of token ids."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Row
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of, written

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
    """One stream of all documents, cut into rows of `max_length` tokens; the last one may be shorter.

    Returns: `input_ids`, `labels`, and with `isolate` the `sequence_lengths` of the pieces of documents in each row.
    """
    stream = list(chain.from_iterable(documents))
    starts = range(0, len(stream), max_length)
    columns = _columns([stream[start : start + max_length] for start in starts])
    if not isolate:
        return columns
    ends = list(accumulate(map(len, documents)))
    lengths = []
    for start in starts:
        stop = min(start + max_length, len(stream))
        inner = ends[bisect_right(ends, start) : bisect_left(ends, stop)]
        lengths.append([after - before for before, after in pairwise([start, *inner, stop])])
    return {**columns, "sequence_lengths": lengths}


def split(documents: Documents, max_length: int, keep_rest: bool) -> dict[str, list[Any]]:
    """Rows of one document each; of a longer one the first `max_length` tokens, and with `keep_rest` the others too.

    A rest of one token is left out: nothing predicts it, and it predicts nothing.
    """
    rows = []
    for document in documents:
        starts = range(0, len(document), max_length) if keep_rest else (0,)
        rows += [document[start : start + max_length] for start in starts]
    return _columns([row for row in rows if len(row) > 1])


def _columns(rows: list[list[int]]) -> dict[str, list[Any]]:
    return {"input_ids": rows, "labels": [list(row) for row in rows]}
