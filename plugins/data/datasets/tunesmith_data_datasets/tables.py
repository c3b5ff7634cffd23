"""Columns of Python lists as Arrow tables, without a look at each of their numbers where lists hold numbers alone."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .media import holds_media

if TYPE_CHECKING:
    import pyarrow

_CODES = {int: "i", float: "d"}  # of arrays with the numbers' width in Arrow
_MOST = 2**31 - 1  # numbers of a column


def to_table(columns: dict[str, list[Any]]) -> pyarrow.Table:
    """Columns as Arrow, token ids in 32 bits, also where all lists are empty and nothing tells what they would hold."""
    import pyarrow

    return pyarrow.table(
        {
            name: _items(values) if holds_media(name) else _numbers(values) or _column(values)
            for name, values in columns.items()
        }
    )


def _items(values: list[Any]) -> pyarrow.Array:
    """Images, videos or sounds of examples: `path` or `bytes` of each, also where no example has any."""
    import pyarrow

    if not all(isinstance(item, Mapping) for value in values for item in value):
        return _column(values)  # a stage of somebody's keeps them otherwise
    item = pyarrow.struct([("path", pyarrow.string()), ("bytes", pyarrow.large_binary())])
    return pyarrow.array(values, pyarrow.list_(item))


def _column(values: list[Any]) -> pyarrow.Array:
    import pyarrow

    narrow = pyarrow.list_(pyarrow.int32())
    wide = (pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.null()))
    column = pyarrow.array(values)
    return column.cast(narrow) if column.type in wide else column


def _numbers(values: Sequence[Any]) -> pyarrow.Array | None:
    """Lists of numbers as one array and where each begins; None for anything else, which Arrow looks at itself."""
    import pyarrow

    if set(map(type, values)) != {list}:
        return None
    kinds = {type(value[0]) for value in values if value}
    code = _CODES.get(next(iter(kinds))) if len(kinds) == 1 else None
    if code is None:
        return None
    try:
        numbers = array(code, itertools.chain.from_iterable(values))
    except (TypeError, OverflowError):
        return None
    if len(numbers) > _MOST:
        return None
    starts = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=starts[1:])
    kind = pyarrow.int32() if code == "i" else pyarrow.float64()
    flat = pyarrow.Array.from_buffers(kind, len(numbers), [None, pyarrow.py_buffer(numbers)])
    return pyarrow.ListArray.from_arrays(pyarrow.array(starts), flat)
