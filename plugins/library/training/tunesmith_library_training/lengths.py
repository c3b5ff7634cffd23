"""How long the examples of a data set are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def every(examples: Any) -> NDArray[np.int64] | None:
    """Tokens of each example of a data set, in its order; of all the sequences of each. None where nobody knows them.

    Args:
        examples: encoded; of one that draws from a larger one in each epoch, `rows` are those of this epoch.
    """
    if hasattr(examples, "rows") and hasattr(examples, "examples"):
        larger = every(examples.examples)
        return None if larger is None else larger[np.asarray(examples.rows)]
    if hasattr(examples, "column_names") and hasattr(examples, "data"):
        found = _in_table(examples)
        chosen = getattr(examples, "_indices", None)  # a selection shares the table of what it was selected from
        return found if found is None or chosen is None else found[chosen.column(0).to_numpy()]
    if isinstance(examples, list | tuple) and len(examples) <= _MOST:
        return np.array([tokens_of(example) for example in examples], np.int64)
    return None


def tokens_of(example: Any) -> int:
    """Tokens of all the sequences of an encoded example."""
    return sum(len(values) for name, values in example.items() if name.endswith("input_ids"))


def _of_columns(examples: Any, count: int) -> list[int] | None:
    found = _in_table(examples)
    return None if found is None else sorted(map(int, np.sort(found)[-count:]), reverse=True)


def _in_table(examples: Any) -> NDArray[np.int64] | None:
    """Those of an Arrow table: its offsets are read, and no token."""
    table = examples.data.table
    names = [name for name in examples.column_names if name.endswith("input_ids")]
    if not names or not len(table):
        return None
    found = np.zeros(len(table), np.int64)
    for name in names:
        parts = table.column(name).chunks
        found += np.concatenate([part.value_lengths().to_numpy(zero_copy_only=False) for part in parts])
    return found
