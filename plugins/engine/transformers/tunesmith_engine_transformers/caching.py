"""The cache of a batch: a layer of `columns` for each of the model's own, or the reason why there can be none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import DynamicCache, cache_utils
from transformers.cache_utils import (
    Cache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
)

from .columns import Columns, ColumnsAndStates, Part, States, WindowAndStates

_EMPTY = tuple(kind for name, kind in vars(cache_utils).items() if name == "DummyLayer")
"""The kind of a layer that keeps nothing; before transformers 5.23 such a layer was of one of the others."""

Kept = tuple[Part, ...]
"""What all layers have of one row."""


class RowCache(Cache):
    """The keys, values and states of several rows, of which the longest has `span` tokens."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__(layers=layers)
        self._own = [layer for layer in layers if not isinstance(layer, _EMPTY)]

    @property
    def span(self) -> int:
        """Tokens of the longest row."""
        spans: list[int] = [layer.span or 0 for layer in self._own]
        return max(spans)

    @property
    def rows(self) -> int:
        """How many there are."""
        counts: list[int] = [layer.rows for layer in self._own]
        return max(counts)

    @property
    def has_states(self) -> bool:
        """Whether some layers have states, which padding would change."""
        return any(isinstance(layer, LinearAttentionLayer) for layer in self._own)

    def filled(self, span: int) -> bool:
        """Whether every layer has got so many tokens: whether the model really computes with this cache."""
        return all(layer.span == span for layer in self._own if layer.span is not None)

    def holds(self, length: int, count: int) -> bool:
        """Whether the first `count` of a row's `length` tokens can be taken."""
        return all(layer.holds(length, count) for layer in self._own)

    def take(self, row: int, length: int, count: int) -> Kept:
        """The first `count` of a row's `length` tokens, as views of the buffers."""
        return tuple(layer.take(row, length, count) for layer in self._own)

    def append(self, kept: Kept, length: int) -> None:
        """Add a row of `length` tokens behind the others."""
        for layer, part in zip(self._own, kept, strict=True):
            layer.append(part, length)

    def drop(self, row: int) -> None:
        """Take a row out; the last one gets its place."""
        for layer in self._own:
            layer.drop(row)

    def trim(self, span: int) -> None:
        """The longest row that is left has so many tokens."""
        for layer in self._own:
            layer.trim(span)


def copied(kept: Kept) -> Kept:
    """The same as tensors of its own, without the buffers that it stands in."""
    return tuple(
        Part(_copy(part.keys), _copy(part.values), tuple((_copy(one), _copy(other)) for one, other in part.states))
        for part in kept
    )


def _copy(of: Any) -> Any:
    return None if of is None else of.clone()


def row_cache(config: Any) -> RowCache:
    """An empty cache for a model.

    Args:
        config: the model's.

    Raises: ValueError for a model with layers that are not known.
    """
    layers = [_layer(layer) for layer in DynamicCache(config=config).layers]
    if not any(isinstance(layer, Columns) for layer in layers):
        raise ValueError("no layer of it has keys and values")
    return RowCache(layers)


def unknown_layers(config: Any) -> str:
    """Why a model has no `row_cache`; empty where it has one."""
    try:
        row_cache(config)
    except Exception as error:  # a configuration that transformers' cache does not understand, in any way
        return str(error) or type(error).__name__
    return ""


def _layer(own: Any) -> Any:
    kind = type(own)
    if kind is DynamicLayer:
        return Columns()
    if kind is DynamicSlidingWindowLayer:
        return Columns(own.sliding_window)
    if kind is LinearAttentionLayer:
        return States(own.number_of_states)
    if kind is LinearAttentionAndFullAttentionLayer:
        return ColumnsAndStates(own.number_of_states)
    if kind is LinearAttentionAndSlidingWindowAttentionLayer:
        return WindowAndStates(own.sliding_window, own.number_of_states)
    if kind in _EMPTY:
        return own
    raise ValueError(f"rows cannot join in a {kind.__name__}")


def longest_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    low, high = 0, min(len(first), len(second))
    while low < high:  # slices are compared at the speed of memory, items one by one are not
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
