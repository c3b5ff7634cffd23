"""What a server does, in Prometheus' words."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from tunesmith.types import EngineStats, Piece

from tunesmith_command_api.limits import Places

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SECONDS_OF_TOKENS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

arrived: ContextVar[float | None] = ContextVar("arrived", default=None)
"""When the request came that is answered here, by `time.perf_counter`."""


class _Progress:
    """How far the answers to a request are: of each the time of its first token and of its last, and their number."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.answers: dict[int, tuple[float, float, int]] = {}


class _Cached(Collector):
    """What the engine counts itself."""

    def __init__(self, stats: Callable[[], EngineStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[CounterMetricFamily]:
        said = "Tokens of prompts that need not be computed: they were those of former requests."
        yield CounterMetricFamily("tunesmith_cached_prompt_tokens", said, self._stats().cached_tokens)


class Metrics:
    """Counters of one server, in a registry of its own, so that several servers may run in a process.

    Args:
        places: the requests that are open.
        stats: of the engine; None where there is none.
    """

    def __init__(self, places: Places, stats: Callable[[], EngineStats] | None = None) -> None:
        self.registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": self.registry, "namespace": "tunesmith"}
        self.requests = Counter("requests", "Requests that were answered.", ("route", "status"), **named)
        self.duration = Histogram(
            "request_seconds",
            "From the headers of a request to the end.",
            ("route",),
            buckets=_SECONDS,
            **named,
        )
        self.prompt_tokens = Counter("prompt_tokens", "Tokens of the prompts that were answered.", **named)
        self.new_tokens = Counter("generated_tokens", "Tokens of answers.", **named)
        self.first_token = Histogram(
            "time_to_first_token_seconds",
            "From the headers of a request to a first token.",
            buckets=_SECONDS,
            **named,
        )
        self.each_token = Histogram(
            "time_per_output_token_seconds",
            "Mean of an answer's tokens behind its first.",
            buckets=_SECONDS_OF_TOKENS,
            **named,
        )
        Gauge("requests_open", "Requests that are answered or wait.", **named).set_function(lambda: places.open)
        if stats is not None:
            running = Gauge("answers_running", "Answers that are computed now.", **named)
            running.set_function(lambda: stats().running)
            waiting = Gauge("answers_waiting", "Answers that are not yet begun.", **named)
            waiting.set_function(lambda: stats().waiting)
            self.registry.register(_Cached(stats))
        self._progress: weakref.WeakKeyDictionary[Any, _Progress] = weakref.WeakKeyDictionary()

    def watch(self, answers: Any, piece: Piece) -> None:
        """Be told of a piece of the answers to a request (`answering.Watcher`)."""
        now = time.perf_counter()
        progress = self._progress.get(answers)
        if progress is None:
            progress = self._progress[answers] = _Progress(arrived.get() or now)
            self.prompt_tokens.inc(answers.prompt_tokens)
        self.new_tokens.inc(piece.num_tokens)
        if piece.num_tokens and piece.index not in progress.answers:
            self.first_token.observe(now - progress.began)
        first, _, count = progress.answers.get(piece.index, (now, now, 0))
        if piece.num_tokens:
            progress.answers[piece.index] = first, now, count + piece.num_tokens
        if piece.finish_reason is not None and piece.index in progress.answers:
            first, last, count = progress.answers.pop(piece.index)
            if count > 1:
                self.each_token.observe((last - first) / (count - 1))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
