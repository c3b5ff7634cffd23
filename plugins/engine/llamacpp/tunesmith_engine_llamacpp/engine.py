"""A GGUF file in llama.cpp that answers requests of token ids, from any thread."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tunesmith import TunesmithError
from tunesmith.types import Answer, EngineStats, LogProb, ModelHandle, Request, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine import (
    Ledger,
    check_adapter,
    check_alternatives,
    check_request,
    check_tokens,
    check_vocabulary,
)
from tunesmith_library_engine.constraints import Constraints
from tunesmith_library_engine.filling import filled

from . import scoring
from .computing import Computation
from .loading import Loaded, Opening
from .rows import Row
from .settings import own_sampling
from .vocabulary import vocabulary_of
from .worker import Worker

T = TypeVar("T")


class LlamaCppEngine:
    """See `tunesmith.types.Engine`. One thread computes; whatever else needs the model waits for its turn there.

    A request without a seed gets the next of a series that begins with the source's, so that the same requests in the
    same order get the same answers.
    """

    def __init__(self, handle: ModelHandle, defaults: Sampling, opening: Opening) -> None:
        """
        Args:
            defaults: for what a request leaves open; with `max_new_tokens`.

        Raises: TunesmithError for a handle that has no GGUF file, or one that llama.cpp does not run.
        """
        self._open: Callable[[], Loaded] = lambda: Loaded(handle, opening)
        loaded = self._open()
        self._defaults, self._own = defaults, own_sampling(loaded.model.metadata)
        self._vocabulary = loaded.model.vocabulary_size
        self._seeds = random.Random(handle.source.seed)
        self._ledger = Ledger()
        self._computation = Computation(loaded, opening.sequences)
        self._worker = Worker(self._computation)
        self._asleep = False
        self.context_length: int | None = loaded.context_length
        tokenizer, file = tokenizer_of(handle.processor), loaded.model.file
        self.end_token_ids = loaded.model.end_tokens | frozenset(end_tokens(None, tokenizer))
        self._constraints = Constraints(lambda: vocabulary_of(file, tokenizer), self.end_token_ids)
        self.adapters = loaded.names

    def submit(self, request: Request) -> Answer:
        self._refuse_asleep()
        check_request(self, request)
        check_vocabulary(request, self._vocabulary)
        if request.inputs:
            raise TunesmithError(f"llama.cpp takes token ids here, and nothing else: not {', '.join(request.inputs)}")
        sampling = request.sampling
        wanted = sampling.max_new_tokens or self._defaults.max_new_tokens or 1
        limit = min(wanted, (self.context_length or wanted) - len(request.prompt))
        seed = self._seeds.getrandbits(64) if sampling.seed is None else sampling.seed
        chosen = filled(sampling, self._defaults, self._own, limit)
        ends = self.end_token_ids | set(sampling.stop_token_ids)
        constraint = self._constraints.constraint(sampling.grammar, ends)
        row = Row(request, chosen, seed, limit, ends=ends, constraint=constraint)
        self._worker.add(row)
        self._ledger.follow(request, row.answer)
        return row.answer

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        check_alternatives(alternatives)
        return self._of_sequences(
            sequences, adapter, lambda loaded: scoring.score(loaded.context, sequences, alternatives)
        )

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        """The mean over the tokens of the model's last hidden states."""
        return self._of_sequences(sequences, adapter, lambda loaded: scoring.embed(loaded.context, sequences))

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        raise TunesmithError(
            "llama.cpp's weights are those of its file, and are not exchanged while it runs.\n"
            "  write another file: tunesmith export RUN exporter=gguf; or take engine=transformers"
        )

    def sleep(self) -> None:
        self._asleep = True
        self._worker.call(self._computation.close)

    def wake(self) -> None:
        def load() -> None:
            if self._computation.loaded is None:
                self._computation.open(self._open())

        self._worker.call(load)
        self._asleep = False

    def stats(self) -> EngineStats:
        return self._ledger.stats(self._worker.running, self._asleep)

    def close(self) -> None:
        self._worker.close()
        self._computation.close()

    def _of_sequences(
        self, sequences: Sequence[Sequence[int]], adapter: str | None, compute: Callable[[Loaded], T]
    ) -> T:
        """Compute something of sequences in the thread.

        Raises: TunesmithError for what cannot be computed.
        """
        self._refuse_asleep()
        check_adapter(self, adapter)
        limit = self.context_length
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise TunesmithError(f"sequence {index} is empty")
            if limit is not None and len(sequence) > limit:
                raise TunesmithError(
                    f"sequence {index} has {len(sequence)} tokens; the model's context ends at {limit}"
                )
            check_tokens(sequence, self._vocabulary, f"sequence {index}")
        return self._worker.call(lambda: compute(self._computation.alone(adapter)))

    def _refuse_asleep(self) -> None:
        if self._asleep:
            raise TunesmithError("this engine sleeps; wake it first")
