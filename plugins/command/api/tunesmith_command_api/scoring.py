"""A reward model where an engine is expected: it gives scores, and refuses whatever else is asked of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, cast

from tunesmith import TunesmithError
from tunesmith.types import Answer, EngineStats, LogProb, ModelHandle, Request
from tunesmith_library_chat import ChatTemplate, tokenizer_of


class ScoringEngine:
    """See `tunesmith.types.Engine`; `judge` is what it has."""

    adapters: tuple[str, ...] = ()
    end_token_ids: frozenset[int] = frozenset()

    def __init__(self, handle: ModelHandle, model: Any) -> None:
        """
        Args:
            model: a sequence classifier.
        """
        from tunesmith_library_judging.judge import Judge  # not before: other engines may do without torch

        self._judge: Any = Judge(model, tokenizer_of(handle.processor), cast(ChatTemplate, handle.template))
        self._lock = threading.Lock()  # one computes at a time
        self._address = handle.source.address
        self.context_length: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def tokens(self, conversations: Sequence[Sequence[dict[str, Any]]]) -> list[list[int]]:
        """Conversations in tokens, as the model has learnt to judge them.

        Raises: DataError for one that the template refuses.
        """
        found: list[list[int]] = self._judge.tokens(conversations)
        return found

    def judge(self, sequences: Sequence[Sequence[int]], max_length: int | None = None) -> list[float]:
        """A score for each sequence of tokens.

        Args:
            max_length: tokens of a sequence; longer ones lose their beginning.

        Raises: TunesmithError for one that is empty, or longer than the model reads.
        """
        cut = [sequence if max_length is None else sequence[-max_length:] for sequence in sequences]
        for index, sequence in enumerate(cut):
            if self.context_length is not None and len(sequence) > self.context_length:
                raise TunesmithError(
                    f"text {index} has {len(sequence)} tokens; the model's context ends at {self.context_length}"
                )
        with self._lock:
            if self._judge is None:
                raise TunesmithError("this engine is closed")
            scores: list[float] = self._judge.of_tokens(cut)
            return scores

    def submit(self, request: Request) -> Answer:
        self._refuse()

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        self._refuse()

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        self._refuse()

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self._refuse()

    def sleep(self) -> None:
        self._refuse()

    def wake(self) -> None:
        self._refuse()

    def stats(self) -> EngineStats:
        return EngineStats(running=0, waiting=0, answered=0, prompt_tokens=0, new_tokens=0, asleep=False)

    def close(self) -> None:
        with self._lock:
            self._judge = None

    def _refuse(self) -> NoReturn:
        raise TunesmithError(
            f"{self._address} is a reward model: it gives texts a score, and writes none.\n"
            "  possible: /v1/score/evaluation, /v1/score, /v1/rerank"
        )
