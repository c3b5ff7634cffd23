"""Prompts on their way into a batch: computed apart from the rows that run, several together, in parts, so that those
who wait for their next token do not wait long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .forwarding import Forward
from .prefixes import Known, cut
from .rows import Row


@dataclass(eq=False)
class Prompt:
    """A prompt, who wants to go on from it, and how much of it is known."""

    tokens: tuple[int, ...]
    rows: list[Row]
    known: Known

    @property
    def rest(self) -> int:
        """Tokens that are computed."""
        return len(self.tokens) - self.known.count


class Prefill:
    """Prompts that are computed together.

    All end at the same column. What is computed of each is as long as the longest rest; a prompt of which more is
    known is computed a second time as far as it must, for a gap between what is known and what is new would be one in
    the sliding windows too.
    """

    def __init__(self, forward: Forward, prompts: Sequence[Prompt], chunk: int) -> None:
        """
        Args:
            prompts: that go together (`together`).
            chunk: tokens that are computed at a time, of all prompts.
        """
        self.prompts, self.cache = list(prompts), forward.new_cache()
        self._forward = forward
        self._lengths = torch.tensor([len(prompt.tokens) for prompt in prompts], device=forward.device)
        self._rest = max(prompt.rest for prompt in prompts)
        self._chunk = max(chunk // len(prompts), 16) if forward.continues else self._rest
        self._done = 0
        for prompt in prompts if prompts[0].known.count else ():
            count = len(prompt.tokens) - self._rest
            self.cache.append(cut(prompt.known.kept, prompt.known.count, count), count)
        self._before = self.cache.span if prompts[0].known.count else 0
        rows = [[prompt.tokens[0]] * (self._rest - len(prompt.tokens)) for prompt in prompts]  # padding, if any
        for row, prompt in zip(rows, prompts, strict=True):
            row += prompt.tokens[-self._rest :]
        self._ids = torch.tensor(rows, device=forward.device)

    @property
    def rows(self) -> list[Row]:
        """All that wait for it."""
        return [row for prompt in self.prompts for row in prompt.rows]

    @property
    def parts(self) -> int:
        """How many times it is advanced until it is done."""
        return -(-self._rest // self._chunk)

    @property
    def filled(self) -> bool:
        """Whether the model has put all that was computed into the cache."""
        return self.cache.filled(self._before + self._rest)

    @property
    def cached_tokens(self) -> int:
        """Tokens of all rows' prompts that were known, or are computed once for several."""
        whole = sum(len(prompt.tokens) * len(prompt.rows) for prompt in self.prompts)
        return whole - sum(min(len(prompt.tokens), self._rest) for prompt in self.prompts)

    def tell(self) -> None:
        """Tell each answer how much of its prompt was known."""
        for prompt in self.prompts:
            for row in prompt.rows:
                row.answer.cached_tokens = max(len(prompt.tokens) - self._rest, 0)

    def advance(self) -> Any | None:
        """Compute the next part.

        Returns: behind the last one fp32 (prompts, V), the scores of each prompt's next token.
        """
        start, self._done = self._done, min(self._done + self._chunk, self._rest)
        columns = torch.arange(self._before + start, self._before + self._done, device=self._ids.device)
        missing = self._before + self._rest - self._lengths  # columns before each prompt's first
        scores = self._forward(
            self._ids[:, start : self._done],
            (self._lengths - (self._rest - self._done)).clamp_min(0),
            (columns - missing[:, None]).clamp_min(0),
            self.cache,
        )
        return scores if self._done == self._rest else None


def together(prompts: Sequence[Prompt], holds: Callable[[int, int], bool], exact: bool) -> list[Prompt]:
    """The first of the prompts, and those that are computed with it.

    Args:
        holds: see `RowCache.holds`.
        exact: whether padding would change the answers.
    """
    first, chosen = prompts[0], prompts[:1]
    longest = first.rest
    for prompt in prompts[1:]:
        if bool(prompt.known.count) != bool(first.known.count):
            continue
        both = max(longest, prompt.rest)
        if exact:
            fits = prompt.rest == first.rest
        elif prompt.known.count:
            fits = _alike(both, first.rest, prompt.rest) and all(
                _reaches(each, both, holds) for each in (*chosen, prompt)
            )
        else:
            fits = _alike(both, first.rest, prompt.rest)
        if fits:
            chosen, longest = [*chosen, prompt], both
    return list(chosen)


def _alike(longest: int, *lengths: int) -> bool:
    """Whether little is computed in vain."""
    return longest <= 16 + 5 * min(lengths) // 4


def _reaches(prompt: Prompt, rest: int, holds: Callable[[int, int], bool]) -> bool:
    """Whether a prompt of which `rest` tokens are computed can begin with what is known of it."""
    count = len(prompt.tokens) - rest
    return count > 0 and holds(prompt.known.count, count)
