"""Rows that are computed together, token by token. Between two tokens some join and others leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from .caching import Kept, RowCache
from .choosing import Chooser
from .forwarding import Forward
from .prefixes import Holds, Known, usable
from .processors import processors_of
from .rows import Row

Leaves = Callable[[Row, int, Callable[[], Kept]], None]
"""Told of a row that leaves a batch, how many of its tokens were computed, and of what gives their keys and values."""


class Batch:
    """Rows with the same weights.

    Args:
        ends: the tokens that end every answer.
    """

    def __init__(self, forward: Forward, ends: Collection[int], leaves: Leaves) -> None:
        self.rows: list[Row] = []
        self._forward, self._ends, self._leaves = forward, ends, leaves
        self._cache: RowCache | None = None
        self._counts: list[int] = []  # the tokens of each row in the cache
        self._lengths: Any = None  # int64 (n,), the same
        self._positions: Any = None  # int64 (n, 1) or (dimensions, n, 1), of the next token
        self._tokens: Any = None  # int64 (n, 1), the next token
        self._speaker: Speaker | None = None

    def join(self, cache: RowCache, places: Sequence[int], rows: Sequence[Row], scores: Any, positions: Any) -> None:
        """Say the first token of rows, and let those go on that have not ended.

        Args:
            cache: what was computed of their prompts; it is the batch's from now on.
            places: where each row's prompt is in it; one may have several rows.
            scores: fp32 (n, V), behind each row's prompt.
            positions: int64 (n, 1) or (dimensions, n, 1), of each row's last token.
        """
        tokens = Speaker(rows, self._forward, self._ends).say(scores)
        going = [index for index, row in enumerate(rows) if not row.answer.ended]
        if not going:
            return
        if self._cache is None and [places[index] for index in going] == list(range(cache.rows)):
            self._cache = cache
        lengths = [len(rows[index].request.prompt) for index in going]
        if self._cache is not cache:
            self._cache = self._cache or self._forward.new_cache()
            for index, length in zip(going, lengths, strict=True):
                self._cache.append(cache.take(places[index], length, length), length)
        self.rows += [rows[index] for index in going]
        self._counts += lengths
        self._lengths = _joined(self._lengths, torch.tensor(lengths, device=tokens.device))
        self._tokens = _joined(self._tokens, tokens[going, None])
        self._positions = _joined_positions(self._positions, positions[..., going, :] + 1)
        self._speaker = None

    def step(self) -> None:
        """Compute the next token of every row that has not ended."""
        self.let_go()
        if not self.rows or self._cache is None:
            return
        self._counts = [count + 1 for count in self._counts]
        self._lengths += 1
        scores = self._forward(self._tokens, self._lengths, self._positions, self._cache)
        self._positions += 1
        self._speaker = self._speaker or Speaker(self.rows, self._forward, self._ends)
        self._tokens = self._speaker.say(scores)[:, None]
        self.let_go()

    def let_go(self) -> None:
        """Let the rows leave whose answers have ended."""
        for index in reversed(range(len(self.rows))):
            if self.rows[index].answer.ended:
                self._drop(index)

    def find(self, prompt: tuple[int, ...], holds: Holds) -> Known:
        """The longest beginning of a prompt that a row has too, as views that hold until the next step."""
        best = Known()
        for index, row in enumerate(self.rows):
            if row.request.inputs or self._cache is None:
                continue
            tokens = tuple(row.ids[: self._counts[index]])
            count = usable(tokens, prompt, holds)
            if count > best.count:
                best = Known(count, self._cache.take(index, len(tokens), count))
        return best

    def _drop(self, index: int) -> None:
        cache, length = self._cache, self._counts[index]
        if cache is None:
            return
        self._leaves(self.rows[index], length, lambda: cache.take(index, length, length))
        cache.drop(index)
        self.rows[index], self._counts[index] = self.rows[-1], self._counts[-1]
        self.rows.pop()
        self._counts.pop()
        self._lengths, self._tokens = _dropped(self._lengths, index, 0), _dropped(self._tokens, index, 0)
        self._positions = _dropped(self._positions, index, -2)
        self._speaker = None
        if self.rows:
            cache.trim(max(self._counts))


class Speaker:
    """Chooses the next token of rows, and tells it."""

    def __init__(self, rows: Sequence[Row], forward: Forward, ends: Collection[int]) -> None:
        self._rows = list(rows)
        self._chooser = Chooser(self._rows)
        config = forward.model.generation_config
        made = [processors_of(config, ends, len(row.request.prompt), row.limit, forward.device) for row in rows]
        self._processors = made if any(made) else []

    def say(self, scores: Any) -> Any:
        """
        Args:
            scores: fp32 (n, V), changed.

        Returns: int64 (n,), the tokens.
        """
        ids = _Ids(self._rows, scores.device)
        for index, processors in enumerate(self._processors):
            scores[index] = processors(ids[index][None], scores[index][None])[0]
        chosen = self._chooser.choose(ids, scores).argmax(-1)
        tokens = chosen.tolist()
        log_probs = self._chooser.log_probs(tokens)
        for index, row in enumerate(self._rows):
            if not row.answer.ended:
                try:
                    row.push(tokens[index], log_probs.get(index))
                except Exception as error:  # its grammar's, which the others of the batch do not have
                    row.answer.fail(error)
        return chosen


class _Ids:
    """The tokens so far, of the rows that are asked about: most settings do not look at them."""

    def __init__(self, rows: Sequence[Row], device: Any) -> None:
        self._rows, self._device = rows, device

    def __getitem__(self, index: int | list[int]) -> Any:
        """int64 (T,) of a row; nothing of several, for settings that rows share do not look at their tokens."""
        if not isinstance(index, int):
            return None
        return torch.tensor(self._rows[index].ids, device=self._device)


def _joined(rows: Any, new: Any) -> Any:
    return new if rows is None else torch.cat([rows, new])


def _joined_positions(rows: Any, new: Any) -> Any:
    if rows is None or rows.dim() == new.dim():
        return new if rows is None else torch.cat([rows, new], -2)
    wide, flat = (rows, new) if rows.dim() > new.dim() else (new, rows)
    flat = flat.expand(len(wide), *flat.shape)  # text has the same position in every dimension
    return torch.cat([flat, wide] if wide is new else [wide, flat], -2)


def _dropped(of: Any, row: int, dimension: int) -> Any:
    """Without one row, whose place the last one gets."""
    moved = of.movedim(dimension, 0).clone()
    moved[row] = moved[-1]
    return moved[:-1].movedim(0, dimension)
