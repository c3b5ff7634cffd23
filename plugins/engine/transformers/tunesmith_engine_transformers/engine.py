"""A transformers model that answers requests of token ids, from any thread."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tunesmith import TunesmithError
from tunesmith.messages import announce
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
    submitted,
)
from tunesmith_library_engine.constraints import Constraints
from tunesmith_library_engine.vocabularies import vocabulary_of

from . import scoring, weights
from .adapters import Beside
from .beams import Beams, search
from .computation import Computation
from .forwarding import Forward
from .generating import Leaves, generate_batch
from .parts import all_of
from .rows import Row
from .running import Running
from .settings import choice_of
from .surroundings import as_here
from .worker import Worker

T = TypeVar("T")


class TransformersEngine:
    """See `tunesmith.types.Engine`. One thread computes; whatever else needs the model waits for its turn there.

    A request without a seed gets the next of a series that begins with the source's, so that the same requests in the
    same order get the same answers.
    """

    def __init__(
        self,
        handle: ModelHandle,
        defaults: Sampling,
        batch_size: int,
        beams: Beams | None = None,
        prefix_cache: int = 0,
    ) -> None:
        """
        Args:
            defaults: for what a request leaves open; with `max_new_tokens`.
            prefix_cache: tokens that are kept of answers that have ended.
            beams: how to search for answers; None follows one continuation of each.

        Raises: TunesmithError for a model that does not write.
        """
        self._model = _refuse_classifier(handle.load(), handle).eval()
        self._defaults, self._beams = defaults, beams
        self._seeds = random.Random(handle.source.seed)
        self._home = self._model.device
        self._asleep = False
        self._ledger = Ledger()
        self.context_length: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._own = self._model.generation_config
        tokenizer, text = tokenizer_of(handle.processor), self._model.config.get_text_config()
        self.end_token_ids = frozenset(end_tokens(None, tokenizer, self._own))
        self._constraints = Constraints(lambda: vocabulary_of(tokenizer, text.vocab_size), self.end_token_ids)
        self._vocabulary: int = getattr(self._model.get_input_embeddings(), "num_embeddings", text.vocab_size)
        self._beside = Beside(self._model)
        self._computation = self._joining(prefix_cache)
        self._worker: Running | Worker = (
            Running(self._computation, batch_size) if self._computation else Worker(self._compute, batch_size)
        )
        self._worker.surroundings = as_here(self._home)

    def submit(self, request: Request) -> Answer:
        self._refuse_asleep()
        check_request(self, request)
        check_vocabulary(request, self._vocabulary)
        sampling = request.sampling
        wanted = sampling.max_new_tokens or self._defaults.max_new_tokens or 1
        room = wanted if self.context_length is None else self.context_length - len(request.prompt)
        ends = self.end_token_ids | set(sampling.stop_token_ids)
        if sampling.grammar is not None and self._beams is not None:
            raise TunesmithError("beams follow no grammar.\n  engine.num_beams=1 follows one continuation, and can")
        constraint = self._constraints.constraint(sampling.grammar, ends)
        # a number modulo 2^64, for Random looks at the absolute value alone
        seed = self._seeds.getrandbits(64) if sampling.seed is None else sampling.seed % 2**64
        row = Row(
            replace(request, adapter=self._beside.name(request.adapter)),
            choice_of(sampling, self._defaults, self._own),
            limit=min(wanted, room),
            ends=ends,
            random=random.Random(seed),
            constraint=constraint,
        )
        self._worker.add(row)
        self._ledger.follow(request, row.answer)
        return row.answer

    def submit_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Begin none before all are there, so that the same requests are computed in the same batches."""
        with self._worker.held():
            return submitted(self, requests)

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        check_alternatives(alternatives)
        forward = self._computation.forward if self._computation else None
        return self._of_sequences(
            sequences, adapter, lambda: scoring.score(self._model, forward, sequences, alternatives)
        )

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        """The mean over the tokens of the model's last hidden states."""
        return self._of_sequences(sequences, adapter, lambda: scoring.embed(self._model, sequences))

    def load_weights(self, weights_: Iterable[tuple[str, Any]]) -> None:
        self._worker.call(lambda: self._changed(lambda: weights.load_weights(self._model, weights_)))

    @property
    def adapters(self) -> tuple[str, ...]:
        return self._beside.names

    def load_adapter(self, name: str, folder: Path) -> None:
        """Put an adapter beside the model, which requests may choose from then on; answers that run go on.

        Args:
            folder: with adapter_config.json and adapter_model.safetensors.

        Raises: TunesmithError for a name that is taken, and an adapter that does not fit; nothing is changed then.
        """
        self._refuse_asleep()
        self._worker.in_parts(lambda: self._with_adapter(lambda: self._beside.load(name, Path(folder))))

    def unload_adapter(self, name: str) -> None:
        """Let an adapter go that was loaded, once the answers before have ended.

        Raises: TunesmithError for one that was not loaded.
        """
        self._worker.call(lambda: all_of(self._with_adapter(lambda: self._beside.unload(name))))

    def sleep(self) -> None:
        self._asleep = True
        self._worker.call(lambda: self._changed(lambda: weights.move(self._model, "cpu")))

    def wake(self) -> None:
        self._worker.call(lambda: weights.move(self._model, self._home))
        self._asleep = False

    def stats(self) -> EngineStats:
        cached = self._computation.cached_tokens if self._computation else 0
        return self._ledger.stats(self._worker.running, self._asleep, cached)

    def close(self) -> None:
        self._worker.close()
        if self._computation:
            self._computation.acting.adapter(None)  # the model may go on without the engine
        self._model = self._computation = self._beside.model = None

    def _joining(self, prefix_cache: int) -> Computation | None:
        """What computes rows that join and leave; None for searches, and for models whose rows cannot."""
        if self._beams is not None:
            return None
        forward = Forward(self._model)
        reason = forward.why_not()
        if reason:
            announce("engine", "answers in batches that others cannot join", reason)
            return None
        return Computation(forward, self.end_token_ids, self.context_length, prefix_cache)

    def _with_adapter(self, change: Callable[[], Any]) -> Generator[None, None, None]:
        """Change the adapters, in the thread, while none acts: one part."""
        computation = self._computation
        if computation:
            computation.idle()
            computation.prefixes.forget()
        self._model = change()
        if computation:
            computation.acting.model = self._model
        yield

    def _changed(self, change: Callable[[], None]) -> None:
        """Change the weights, in the thread: what was computed with the former ones is forgotten."""
        if self._computation:
            self._computation.prefixes.forget()
        change()

    def _compute(self, rows: Sequence[Row], leaves: Leaves) -> None:
        with weights.adapted(self._model, rows[0].request.adapter):
            if self._beams is not None:
                search(self._model, rows, self._beams)
            else:
                generate_batch(self._model, rows, self.end_token_ids, self.context_length, leaves)

    def _of_sequences(
        self, sequences: Sequence[Sequence[int]], adapter: str | None, compute: Callable[[], Generator[None, None, T]]
    ) -> T:
        """Compute something of sequences in the thread.

        Raises: TunesmithError for what cannot be computed.
        """
        self._refuse_asleep()
        check_adapter(self, adapter)
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise TunesmithError(f"sequence {index} is empty")
            if self.context_length is not None and len(sequence) > self.context_length:
                raise TunesmithError(
                    f"sequence {index} has {len(sequence)} tokens; the model's context ends at {self.context_length}"
                )
            check_tokens(sequence, self._vocabulary, f"sequence {index}")
        return self._worker.in_parts(lambda: self._adapted(self._beside.name(adapter), compute()))

    def _adapted(self, adapter: str | None, parts: Generator[None, None, T]) -> Generator[None, None, T]:
        """The same with an adapter, which others may change between two parts."""
        acting = self._computation.acting if self._computation else weights.Acting(self._model)
        while True:
            acting.adapter(adapter)
            try:
                next(parts)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                if not self._computation:
                    acting.adapter(None)
            yield

    def _refuse_asleep(self) -> None:
        if self._asleep:
            raise TunesmithError("this engine sleeps; wake it first")


def _refuse_classifier(model: Any, handle: ModelHandle) -> Any:
    """Raises: TunesmithError for the weights of a reward model, to which a language model's output layer is wanting."""
    if any(str(name).endswith("ForSequenceClassification") for name in model.config.architectures or ()):
        raise TunesmithError(
            f"{handle.source.address} is a {model.config.architectures[0]}: it gives texts a score and cannot answer.\n"
            f"  train with it: stage=ppo reward.model.path={handle.source.address}"
        )
    return model
