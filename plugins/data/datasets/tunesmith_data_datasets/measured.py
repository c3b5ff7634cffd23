"""How long the examples are that are encoded: counted on their way, so that a plan need not read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from tunesmith_library_estimates.working import spread_of

if TYPE_CHECKING:
    import pyarrow

_LONGEST = 256  # examples whose lengths are kept


class Lengths:
    """Looks at tables on their way for the tokens of each row, in all its sequences."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # of examples, by their length

    def passed(self, tables: Iterable[pyarrow.Table]) -> Iterator[pyarrow.Table]:
        for table in tables:
            self._counts.update(_of(table))
            yield table

    def to_json(self) -> dict[str, Any]:
        """Tokens of all, of the longest, the longest first, and of some that stand for all."""
        longest = list(islice(Counter(dict(sorted(self._counts.items(), reverse=True))).elements(), _LONGEST))
        tokens = sum(length * count for length, count in self._counts.items())
        return {"tokens": tokens, "longest": longest, "spread": spread_of(self._counts)}


def _of(table: pyarrow.Table) -> list[int]:
    import pyarrow.compute

    if not table.num_rows:  # whose columns have no type
        return []
    names = [name for name in table.column_names if name.endswith("input_ids")]
    columns = [pyarrow.compute.list_value_length(table[name]).to_pylist() for name in names]
    return [sum(length or 0 for length in row) for row in zip(*columns, strict=True)]
