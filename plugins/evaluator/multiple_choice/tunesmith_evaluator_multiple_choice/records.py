"""The records of a file: CSV with or without a head, JSON, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from tunesmith import DataError

from tunesmith_evaluator_multiple_choice.questions import LETTERS

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")


def records_of(name: str, content: bytes) -> Iterator[dict[str, Any]]:
    """Read a file.

    Args:
        name: whose ending is one of `SUFFIXES`.

    Raises: DataError for content that is not of that kind.
    """
    suffix = name.lower().rpartition(".")[2]
    try:
        if suffix == "parquet":
            yield from _parquet(content)
            return
        text = content.decode("utf-8-sig")
        yield from _csv(text) if suffix == "csv" else _json(text)
    except (ValueError, csv.Error) as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def _csv(text: str) -> Iterator[dict[str, Any]]:
    """The rows; without a head they are MMLU's: question, choices, letter of the answer."""
    rows = (row for row in csv.reader(io.StringIO(text, newline="")) if any(row))
    first = next(rows, None)
    if first is None:
        return
    if "question" in {cell.strip().lower() for cell in first}:
        for row in rows:
            yield dict(zip(first, row, strict=False))
        return
    for row in (first, *rows):
        if len(row) < 4:
            raise ValueError(f"a row has {len(row)} cells, where question, choices and answer are wanted: {row!r:.80}")
        yield {"question": row[0], **dict(zip(LETTERS, row[1:-1], strict=False)), "answer": row[-1]}


def _json(text: str) -> Iterator[dict[str, Any]]:
    if text.lstrip().startswith("["):
        found = json.loads(text)
    else:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    for record in found:
        if not isinstance(record, dict):
            raise ValueError(f"{record!r:.60} is no object")
        yield record


def _parquet(content: bytes) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    yield from parquet.read_table(io.BytesIO(content)).to_pylist()
