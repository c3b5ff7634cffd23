"""How long the longest examples of a data set are."""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST = 20_000  # examples of a list that are read


def longest(examples: Any, count: int) -> list[int] | None:
    """Tokens of the longest examples, the longest first; of all the sequences of each.

    Args:
        examples: encoded: every column that ends with `input_ids` is a sequence.
        count: how many are asked for.

    Returns: at most as many; None of a stream, of so many rows that reading them takes time, and of what may make an
        example when it is read. Of a data set that draws from a larger one, those of the larger: an upper bound.
    """
    while not hasattr(examples, "column_names"):
        inner = getattr(examples, "dataset", None) or getattr(examples, "examples", None)
        if inner is None:
            break
        examples = inner
    if hasattr(examples, "column_names") and hasattr(examples, "data"):
        return _of_columns(examples, count)
    if not isinstance(examples, list | tuple) or len(examples) > _MOST:
        return None
    return sorted(map(tokens_of, examples), reverse=True)[:count]


def tokens_of(example: Any) -> int:
    """Tokens of all the sequences of an encoded example."""
    return sum(len(values) for name, values in example.items() if name.endswith("input_ids"))


def _of_columns(examples: Any, count: int) -> list[int] | None:
    """Those of an Arrow table: its offsets are read, and no token."""
    table = examples.data.table
    names = [name for name in examples.column_names if name.endswith("input_ids")]
    if not names or not len(table):
        return None
    each = [
        np.concatenate([part.value_lengths().to_numpy(zero_copy_only=False) for part in table.column(name).chunks])
        for name in names
    ]
    return sorted(map(int, np.sort(sum(each))[-count:]), reverse=True)
