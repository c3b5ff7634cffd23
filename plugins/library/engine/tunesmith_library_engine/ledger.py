"""What an engine knows of the answers that it gives."""

from __future__ import annotations

import threading

from tunesmith.types import Delta, EngineStats, Request

from tunesmith_library_engine.answers import StreamedAnswer


class Ledger:
    """Counts the requests, answers and tokens of an engine, and knows the answers that have not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[StreamedAnswer] = set()
        self._answered = self._prompt_tokens = self._new_tokens = 0

    def follow(self, request: Request, answer: StreamedAnswer) -> None:
        """Count an answer from now on."""
        with self._lock:
            self._open.add(answer)
            self._prompt_tokens += len(request.prompt)

        def heard(item: Delta | BaseException) -> None:
            told = item if isinstance(item, Delta) else Delta((), finish_reason="cancelled")
            with self._lock:
                self._new_tokens += len(told.token_ids)
                if told.finish_reason is not None:
                    self._answered += 1
                    self._open.discard(answer)

        answer.listen(heard)

    def add(self, prompt_tokens: int, new_tokens: int) -> None:
        """Count tokens of a request that is answered elsewhere, where they are not told one by one."""
        with self._lock:
            self._prompt_tokens += prompt_tokens
            self._new_tokens += new_tokens

    def cancel_all(self) -> None:
        """End all answers that have not ended."""
        with self._lock:
            left = list(self._open)
        for answer in left:
            answer.cancel()

    def stats(self, running: int, asleep: bool, cached_tokens: int = 0) -> EngineStats:
        """
        Args:
            running: how many answers are computed now; the others that have not ended wait.
            cached_tokens: of prompts, that were not computed since they were there.
        """
        with self._lock:
            waiting = max(len(self._open) - running, 0)
            return EngineStats(
                running, waiting, self._answered, self._prompt_tokens, self._new_tokens, asleep, cached_tokens
            )
