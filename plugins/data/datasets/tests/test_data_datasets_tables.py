"""Columns are Arrow's as Arrow makes them of Python's, but for the width of ids."""

from __future__ import annotations

from typing import Any

import pyarrow
import pytest
from tunesmith_data_datasets.tables import _numbers, to_table

IDS, WEIGHTS = pyarrow.list_(pyarrow.int32()), pyarrow.list_(pyarrow.float64())
COLUMNS: dict[str, tuple[list[Any], Any, bool]] = {
    "ids": ([[1, 2], [], [3, -100]], IDS, True),
    "weights": ([[0.5, 1.0], [], [0.0]], WEIGHTS, True),
    "first a whole number": ([[1.0, 0], [0.5]], WEIGHTS, True),
    "empty": ([[], []], IDS, False),
    "a list is missing": ([[1], None, [2]], IDS, False),
    "a number is missing": ([[1, None], [2]], IDS, False),
    "wide": ([[1, 2**31 - 1, -(2**31)]], IDS, True),
    "flags": ([[True, False], [True]], pyarrow.list_(pyarrow.bool_()), False),
    "texts": (["a", "b"], pyarrow.string(), False),
    "lists of texts": ([["a"], ["b", "c"]], pyarrow.list_(pyarrow.string()), False),
    "nested": ([[[1, 2], [3]], [[4]]], pyarrow.list_(pyarrow.list_(pyarrow.int64())), False),
    "labels": ([True, False, None], pyarrow.bool_(), False),
    "numbers": ([1, 2], pyarrow.int64(), False),
    "mappings": ([{"a": 1}, {"a": 2}], pyarrow.struct({"a": pyarrow.int64()}), False),
    "nothing": ([], pyarrow.null(), False),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_and_types(name: str) -> None:
    values, kind, at_once = COLUMNS[name]
    column = to_table({"x": values})["x"]
    assert column.to_pylist() == values == pyarrow.array(values).to_pylist()
    assert column.type == kind
    assert (_numbers(values) is not None) == at_once
    column.validate(full=True)


def test_ids_beyond_32_bits_are_refused() -> None:
    with pytest.raises(pyarrow.ArrowInvalid):
        to_table({"input_ids": [[2**31]]})
