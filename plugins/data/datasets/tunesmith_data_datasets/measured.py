"""How long the examples are that are encoded: counted on their way, so that a plan need not read them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

_LONGEST = 256  # examples whose lengths are kept


class Lengths:
    """Looks at tables on their way for the tokens of each row, in all its sequences."""

    def __init__(self) -> None:
        self._tokens = 0
        self._longest: list[int] = []

    def passed(self, tables: Iterable[pyarrow.Table]) -> Iterator[pyarrow.Table]:
        for table in tables:
            found = _of(table)
            self._tokens += sum(found)
            self._longest = heapq.nlargest(_LONGEST, (*self._longest, *found))
            yield table

    def to_json(self) -> dict[str, Any]:
        """Tokens of all, and of the longest, the longest first."""
        return {"tokens": self._tokens, "longest": self._longest}


def _of(table: pyarrow.Table) -> list[int]:
    import pyarrow.compute

    if not table.num_rows:  # whose columns have no type
        return []
    names = [name for name in table.column_names if name.endswith("input_ids")]
    columns = [pyarrow.compute.list_value_length(table[name]).to_pylist() for name in names]
    return [sum(length or 0 for length in row) for row in zip(*columns, strict=True)]
