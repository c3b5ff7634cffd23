"""A layer's keys and values of rows that come and go.

Every row ends at the same column, so the next token of all rows is written into one; what a shorter row does not have
stands to the left, and is masked. A row that joins is written to the left of that column, one that leaves gives its
place to the last, so no place is computed in vain. Buffers grow by doubling: a token costs no copy of those before it,
as it does in transformers' own cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import (
    CacheLayerMixin,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
)

_ROOM = 64  # columns that a new buffer has to spare, at least


@dataclass(frozen=True)
class Part:
    """What a layer has of one row."""

    keys: Any = None  # (1, heads, C, D) of the row's last C tokens; None where the layer keeps none
    values: Any = None
    states: tuple[tuple[Any, Any], ...] = ()  # convolution's and recurrent state, each (1, …) or None


class Columns(CacheLayerMixin):
    """Keys (rows, heads, columns, D) and values of one layer.

    Args:
        window: tokens that a token sees, itself among them; None: all before it.
    """

    keys: Any
    values: Any

    def __init__(self, window: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.window, self.is_sliding = window, window is not None
        self.span = 0  # tokens of the longest row
        self.rows = 0
        self._end = 0  # the column that is written next

    # ---- what models and masks ask

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (of.new_empty(0, *_shape(of, 0)) for of in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the columns of new tokens, of all rows, and give what these tokens see, with themselves."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.rows, tokens = len(key_states), key_states.shape[-2]
        visible = self._visible
        self._make_room(self.rows, visible, tokens)
        new = slice(self._end, self._end + tokens)
        self.keys[: self.rows, :, new] = key_states
        self.values[: self.rows, :, new] = value_states
        seen = slice(self._end - visible, self._end + tokens)
        self._end, self.span = self._end + tokens, self.span + tokens
        return self.keys[: self.rows, :, seen], self.values[: self.rows, :, seen]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._visible + query_length, self.span - self._visible

    def get_seq_length(self) -> int:
        return self.span

    def get_max_length(self) -> int:
        return -1 if self.window is None else self.window

    @property
    def _visible(self) -> int:
        """Columns that the next token sees, or another row's next token would."""
        return self.span if self.window is None else min(self.span, self.window - 1)

    # ---- rows

    def holds(self, length: int, count: int) -> bool:
        """Whether of a row of `length` tokens the first `count` are known as if no others had followed."""
        return count == length or self.window is None or length < self.window

    def take(self, row: int, length: int, count: int) -> Part:
        """The first `count` of a row's `length` tokens, as they stand in the buffers (`holds`)."""
        if not self.is_initialized:
            return Part()
        kept = count if self.window is None else min(count, self.window - 1)
        last = self._end - length + count
        place = (slice(row, row + 1), slice(None), slice(last - kept, last))
        return Part(self.keys[place], self.values[place])

    def append(self, part: Part, length: int) -> None:
        """Add a row behind the others.

        Args:
            length: its tokens.
        """
        if part.keys is None:
            return
        if not self.is_initialized:
            self.lazy_initialization(part.keys, part.values)
        count = part.keys.shape[2]
        self._make_room(self.rows + 1, max(self._visible, count), 1)
        place = slice(self._end - count, self._end)
        self.keys[self.rows, :, place], self.values[self.rows, :, place] = part.keys[0], part.values[0]
        self.rows, self.span = self.rows + 1, max(self.span, length)

    def drop(self, row: int) -> None:
        """Take a row out; the last one gets its place."""
        self.rows -= 1
        if self.is_initialized and row < self.rows:
            live = slice(self._end - self._visible, self._end)
            for of in (self.keys, self.values):
                of[row, :, live] = of[self.rows, :, live]

    def trim(self, span: int) -> None:
        """The longest row that is left has so many tokens."""
        self.span = min(self.span, span)

    def _make_room(self, rows: int, before: int, behind: int) -> None:
        """Have places for rows, and columns before and behind the place where all rows end."""
        places, columns = self.keys.shape[0], self.keys.shape[2]
        if rows <= places and before <= self._end and self._end + behind <= columns:
            return
        wanted = 1 << (rows - 1).bit_length()
        places = wanted if rows > places or 4 * wanted <= places else places
        live = slice(self._end - min(self._visible, self._end), self._end)
        end = max(before, live.stop - live.start)
        room = max(behind, end, _ROOM)
        self.keys, self.values = (self._moved(of, live, places, end, end + room) for of in (self.keys, self.values))
        self._end = end

    def _moved(self, of: Any, live: slice, places: int, end: int, columns: int) -> Any:
        # Zeros: what is masked must be finite, for it is multiplied by a probability of 0.
        moved = of.new_zeros(places, *_shape(of, columns))
        rows = min(self.rows, of.shape[0])
        moved[:rows, :, end - (live.stop - live.start) : end] = of[:rows, :, live]
        return moved


class States(LinearAttentionLayer):
    """The states of a layer without columns, one for each row."""

    span = None
    rows = 0  # the layers with columns count them

    def holds(self, length: int, count: int) -> bool:
        """See `Columns`: a state cannot be taken back."""
        return count == length

    def take(self, row: int, length: int, count: int) -> Part:
        """See `Columns`."""
        return Part(states=_states_of(self, row))

    def append(self, part: Part, length: int) -> None:
        """See `Columns`."""
        _append_states(self, part.states)

    def drop(self, row: int) -> None:
        """See `Columns`."""
        _drop_state(self, row)

    def trim(self, span: int) -> None:
        """There are no columns."""


class _StatesBeside(Columns):
    """Columns beside states."""

    def holds(self, length: int, count: int) -> bool:
        return count == length

    def lazy_initialization(self, *args: Any, **kwargs: Any) -> None:
        if args:
            Columns.lazy_initialization(self, *args)
        else:
            LinearAttentionLayer.lazy_initialization(self, **kwargs)  # type: ignore[arg-type]

    def take(self, row: int, length: int, count: int) -> Part:
        columns = super().take(row, length, count)
        return Part(columns.keys, columns.values, _states_of(self, row))

    def append(self, part: Part, length: int) -> None:
        super().append(part, length)
        _append_states(self, part.states)

    def drop(self, row: int) -> None:
        super().drop(row)
        _drop_state(self, row)


class ColumnsAndStates(_StatesBeside, LinearAttentionAndFullAttentionLayer):  # type: ignore[override]
    """Attention beside a state space."""

    def __init__(self, number_of_states: int = 1) -> None:
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)
        Columns.__init__(self)


class WindowAndStates(_StatesBeside, LinearAttentionAndSlidingWindowAttentionLayer):  # type: ignore[override]
    """Attention in a window beside a state space."""

    def __init__(self, window: int, number_of_states: int = 1) -> None:
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)
        Columns.__init__(self, window)


def _shape(of: Any, columns: int) -> tuple[int, ...]:
    """(heads, columns, D) of keys or values."""
    return of.shape[1], columns, of.shape[3]


def _states_of(layer: Any, row: int) -> tuple[tuple[Any, Any], ...]:
    pairs = ((layer.conv_states[index], layer.recurrent_states[index]) for index in range(layer.number_of_states))
    return tuple((_row(convolved, row), _row(recurrent, row)) for convolved, recurrent in pairs)


def _row(of: Any, row: int) -> Any:
    return None if of is None else of[row : row + 1]


def _append_states(layer: Any, states: tuple[tuple[Any, Any], ...]) -> None:
    for index, (convolved, recurrent) in enumerate(states):
        for name, new in (("conv", convolved), ("recurrent", recurrent)):
            if new is None:
                continue
            of = getattr(layer, f"{name}_states")
            if of[index] is None:
                layer.lazy_initialization(**{f"{name}_states": new, "state_idx": index})
                of[index].copy_(new)
            else:
                of[index] = torch.cat([of[index], new])
            layer.has_previous_state[index] = True


def _drop_state(layer: Any, row: int) -> None:
    for of in (layer.conv_states, layer.recurrent_states):
        for index, states in of.items():
            if states is not None:
                states[row] = states[-1]
                of[index] = states[:-1]
