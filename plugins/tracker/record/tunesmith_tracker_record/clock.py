"""The time that a run takes: loading, steps without the first, all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Clock:
    """Takes times, in seconds."""

    since: float | None = None  # when the run began; None is now
    now: Callable[[], float] = time.perf_counter
    loading: float = 0.0  # until the training begins: imports, data, the model
    steps: int = 0  # that have ended
    seconds: list[float] = field(
        default_factory=list
    )  # of steps between which nothing else was done, without the first
    tokens: list[int] = field(default_factory=list)  # of those steps, in this process, padding included

    _began: float = 0.0
    _loaded: float = 0.0
    _last: float | None = None  # when a step ended after which the next one begins
    _met: int = 0  # tokens since the last step

    def __post_init__(self) -> None:
        self._began = self.now() if self.since is None else self.since

    def loads_no_longer(self) -> None:
        """Take note that the model is there."""
        self._loaded = self.now()
        self.loading = self._loaded - self._began

    def meets(self, tokens: int) -> None:
        """Take note of a batch."""
        self._met += tokens

    def step_ended(self) -> None:
        """Take note of a step. The first one does not count: much is made in it for the first time."""
        now = self.now()
        if self._last is not None:
            self.seconds.append(now - self._last)
            self.tokens.append(self._met)
        self._last, self._met, self.steps = now, 0, self.steps + 1

    def was_interrupted(self) -> None:
        """Take note that something else was done: an evaluation, a checkpoint."""
        self._last = None

    @property
    def step(self) -> float | None:
        """Seconds of a step of as many tokens as there are on average, at a speed in the middle."""
        if not self.seconds:
            return None
        if not self.tokens_of_step or not all(self.tokens):
            return median(self.seconds)
        of_token = median(seconds / tokens for seconds, tokens in zip(self.seconds, self.tokens, strict=True))
        return of_token * self.tokens_of_step

    @property
    def tokens_of_step(self) -> float | None:
        """Of a step on average; None where no batch was seen."""
        return sum(self.tokens) / len(self.tokens) if any(self.tokens) else None

    @property
    def training(self) -> float:
        """Seconds since the model was there."""
        return self.now() - self._loaded if self._loaded else 0.0
