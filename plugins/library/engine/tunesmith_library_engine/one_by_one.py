"""The plainest way to an engine: one answer after the other, each a generator of tokens.

A subclass says which tokens come and how likely the tokens of a text are; who waits, when an answer ends, what is
refused, sleep and close are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from tunesmith import TunesmithError
from tunesmith.types import Answer, Delta, EngineStats, FinishReason, LogProb, Request

from tunesmith_library_engine.answers import StreamedAnswer
from tunesmith_library_engine.checks import check_adapter, check_alternatives, check_request, check_sampling
from tunesmith_library_engine.ledger import Ledger

T = TypeVar("T")


class OneByOne(ABC):
    """See `tunesmith.types.Engine`. All that a subclass does is done in one thread."""

    adapters: tuple[str, ...] = ()
    honours: ClassVar[tuple[str, ...]] = ()  # fields of `Sampling` that `tokens` knows beside temperature and seed

    def __init__(self, context_length: int | None, end_token_ids: Collection[int], max_new_tokens: int) -> None:
        """
        Args:
            max_new_tokens: of an answer whose request does not say.
        """
        self.context_length, self.end_token_ids = context_length, frozenset(end_token_ids)
        self._most = max_new_tokens
        self._thread = ThreadPoolExecutor(1, "engine")
        self._ledger = Ledger()
        self._running, self._refuses = 0, ""  # why nothing is answered now

    @abstractmethod
    def tokens(self, request: Request) -> Iterator[tuple[int, LogProb | None]]:
        """Token after token, without end, each with how likely it was where the request has `log_probs`."""

    @abstractmethod
    def log_probs(self, sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
        """How likely the tokens of a sequence are behind its first."""

    def exchange(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Put weights into the place of the model's; see `Engine.load_weights`."""
        for name, _ in weights:
            raise TunesmithError(f"this engine keeps its weights, and does not take {name}")

    def rest(self) -> None:  # noqa: B027  (there may be none to give)
        """Give memory back."""

    def rise(self) -> None:  # noqa: B027
        """Be as before `rest`."""

    # ---- the Engine

    def submit(self, request: Request) -> Answer:
        self._check()
        check_request(self, request)
        check_sampling(request.sampling, "stop_token_ids", *self.honours)
        if request.inputs:
            raise TunesmithError("this engine answers text only")
        answer = StreamedAnswer()
        self._ledger.follow(request, answer)
        self._thread.submit(self._answer, request, answer)
        return answer

    def _answer(self, request: Request, answer: StreamedAnswer) -> None:
        ends = self.end_token_ids.union(request.sampling.stop_token_ids)
        limit = request.sampling.max_new_tokens or self._most
        if self.context_length is not None:
            limit = min(limit, self.context_length - len(request.prompt))
        self._running = 1
        try:
            if answer.ended:
                return
            for count, (token, log_prob) in enumerate(self.tokens(request), start=1):
                reason: FinishReason | None = "length" if count >= limit else None
                answer.put(Delta((token,), (log_prob,) if log_prob else (), "stop" if token in ends else reason))
                if answer.ended:
                    return
        except BaseException as error:
            answer.fail(error)
        finally:
            self._running = 0

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        self._check()
        check_adapter(self, adapter)
        check_alternatives(alternatives)
        return self._in_turn(lambda: [self.log_probs(sequence, alternatives) for sequence in sequences])

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        raise TunesmithError("this engine has no vectors for texts")

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self._in_turn(lambda: self.exchange(weights))

    def sleep(self) -> None:
        self._refuses = "sleeps; wake it first"
        self._in_turn(self.rest)

    def wake(self) -> None:
        self._in_turn(self.rise)
        self._refuses = ""

    def stats(self) -> EngineStats:
        return self._ledger.stats(self._running, self._refuses.startswith("sleeps"))

    def close(self) -> None:
        self._refuses = "is closed"
        self._ledger.cancel_all()
        self._thread.shutdown(cancel_futures=True)

    def _check(self) -> None:
        if self._refuses:
            raise TunesmithError(f"this engine {self._refuses}")

    def _in_turn(self, function: Callable[[], T]) -> T:
        """Do something when all that was asked before is done, and wait for it."""
        try:
            return self._thread.submit(function).result()
        except (CancelledError, RuntimeError) as error:
            if self._refuses == "is closed":
                raise TunesmithError("this engine is closed") from error
            raise
