"""A model in SGLang that answers requests of token ids, from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Answer, Delta, EngineStats, LogProb, ModelHandle, Request, Sampling
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
from tunesmith_library_engine.filling import filled, own_ends, own_sampling
from tunesmith_library_engine.looping import TaskLoop
from tunesmith_library_engine.loras import BASE
from tunesmith_library_weights.exchanging import Weights

from .opening import Opening
from .talking import Reader, parameters, scores_of


class SGLangEngine:
    """See `tunesmith.types.Engine`. One thread has an event loop, in which SGLang's own engine is asked; that computes
    in processes of its own.
    """

    _engine: Any = None  # while it is awake

    def __init__(self, handle: ModelHandle, defaults: Sampling, opening: Opening) -> None:
        """
        Args:
            defaults: for what a request leaves open; with `max_new_tokens`.

        Raises: TunesmithError for a model or an adapter that SGLang does not run.
        """
        from sglang.srt.server_args import ServerArgs

        folder, self._training = handle.source.path, handle.source.training  # which gives the weights anew each time
        known = getattr(ServerArgs, "__struct_fields__", None) or getattr(ServerArgs, "__dataclass_fields__", {})
        self._arguments = opening.arguments(handle, tuple(known))
        self._defaults, self._own = defaults, own_sampling(folder)
        self._names = tuple(lora.name for lora in opening.loras(handle))
        self._loop, self._ledger, self._numbers = TaskLoop(), Ledger(), itertools.count()
        self._weights = Weights(folder)
        self._asleep = False
        try:
            self._loop.call(self._open())
        except BaseException:
            self._loop.close(self._shut)
            raise
        config = self._engine.tokenizer_manager.model_config
        self.context_length: int | None = int(config.context_len)
        self._vocabulary = int(config.vocab_size)
        self.end_token_ids = own_ends(folder) | frozenset(end_tokens(None, tokenizer_of(handle.processor)))
        self.adapters = (BASE, *self._names) if self._names else ()

    async def _open(self) -> None:
        import sglang

        try:
            self._engine = sglang.Engine(**self._arguments)
        except Exception as error:
            raise TunesmithError(
                f"SGLang does not open {self._arguments['model_path']}: {type(error).__name__}: {error}\n"
                "  what it wrote before may say more; for memory: engine.mem_fraction_static, engine.context_length"
            ) from error

    async def _shut(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()

    def submit(self, request: Request) -> Answer:
        self._refuse_asleep()
        check_request(self, request)
        check_vocabulary(request, self._vocabulary)
        if request.inputs:
            raise TunesmithError(f"SGLang takes token ids here, and nothing else: not {', '.join(request.inputs)}")
        wanted = request.sampling.max_new_tokens or self._defaults.max_new_tokens or 1
        limit = min(wanted, (self.context_length or wanted) - len(request.prompt))
        sampling = filled(request.sampling, self._defaults, self._own, limit)
        deterministic = bool(self._arguments.get("enable_deterministic_inference"))
        made = parameters(sampling, self.end_token_ids, deterministic)
        ends = tuple(dict.fromkeys((*sampling.stop_token_ids, *sorted(self.end_token_ids))))
        new = bool(self._arguments.get("incremental_streaming_output"))

        async def deltas() -> AsyncGenerator[Delta, None]:
            reader = Reader(request.log_probs, ends, new=new)
            told = self._asked(request.prompt, made, request.adapter, request.log_probs)
            async with contextlib.aclosing(told):
                async for said in told:
                    delta = reader.push(said)
                    if delta is not None:
                        yield delta

        answer = self._loop.begin(deltas)
        self._ledger.follow(request, answer)
        return answer

    async def _asked(
        self, prompt: Sequence[int], made: Any, adapter: str | None, log_probs: int | None, *, start: int = -1
    ) -> AsyncGenerator[Any, None]:
        """What SGLang says of a prompt; closing it gives the request up.

        Args:
            start: the token of the prompt from which log-probabilities are said; -1: of the answer alone.

        Raises: TunesmithError for what SGLang refuses.
        """
        name = next(iter(self._names), BASE) if adapter is None else adapter
        number, done = f"tunesmith-{next(self._numbers)}", False
        about = {} if log_probs is None else {"return_logprob": True, "top_logprobs_num": log_probs}
        try:
            told = await self._engine.async_generate(
                input_ids=list(prompt),
                sampling_params=made,
                lora_path=None if name == BASE else name,
                logprob_start_len=start,
                rid=number,
                stream=True,
                **about,
            )
            async for said in told:
                done = said["meta_info"].get("finish_reason") is not None
                yield said
        except ValueError as error:
            raise TunesmithError(f"SGLang does not answer: {error}") from error
        finally:
            if not done and self._engine is not None:
                self._engine.tokenizer_manager.abort_request(rid=number)

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        self._refuse_asleep()
        check_adapter(self, adapter)
        check_alternatives(alternatives)
        limit = (self.context_length or 0) - 1  # SGLang always computes a token behind them
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise TunesmithError(f"sequence {index} is empty")
            if len(sequence) > limit:
                raise TunesmithError(f"sequence {index} has {len(sequence)} tokens; SGLang scores at most {limit} here")
            check_tokens(sequence, self._vocabulary, f"sequence {index}")
        return self._loop.call(self._scored(sequences, alternatives, adapter))

    async def _scored(self, sequences: Sequence[Sequence[int]], alternatives: int, adapter: str | None) -> Any:
        made = parameters(Sampling(max_new_tokens=1, temperature=0.0), (), False)

        async def one(sequence: Sequence[int]) -> tuple[LogProb, ...]:
            said: Any = None
            async with contextlib.aclosing(self._asked(sequence, made, adapter, alternatives, start=0)) as told:
                async for each in told:
                    said = each
            return scores_of(said["meta_info"], sequence, alternatives)

        return list(await asyncio.gather(*map(one, sequences)))

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        raise TunesmithError(
            "SGLang runs a model either for answers or for vectors, and this one answers.\n"
            "  engine=transformers has both; its server with --is-embedding behind engine=openai has vectors"
        )

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        """They go through files, which SGLang reads as it read the model's."""
        self._refuse_asleep()
        self._loop.settle()
        with self._weights.written(weights) as folder:
            self._loop.call(self._reloaded(str(folder)))

    async def _reloaded(self, folder: str) -> None:
        from sglang.srt.managers.io_struct import UpdateWeightFromDiskReqInput

        manager = self._engine.tokenizer_manager
        done, told, *_ = await manager.update_weights_from_disk(UpdateWeightFromDiskReqInput(model_path=folder), None)
        if not done:
            raise TunesmithError(f"SGLang does not take the weights: {told}")

    def sleep(self) -> None:
        """Wait for the answers, then let weights and memory go; with `enable_memory_saver` the weights wait in the
        machine's memory, else they are read again."""
        self._asleep = True
        self._loop.settle()
        self._loop.call(self._released(True) if self._arguments.get("enable_memory_saver") else self._shut())

    def wake(self) -> None:
        if self._arguments.get("enable_memory_saver"):
            self._loop.call(self._released(False))
        elif self._engine is None:
            self._loop.call(self._open())
            if self._weights.exchanged and not self._training:
                logger.warning("the weights are those of the files again; engine.enable_memory_saver=true keeps others")
                self._weights.forget()
        self._asleep = False

    async def _released(self, releases: bool) -> None:
        from sglang.srt.managers import io_struct

        manager = self._engine.tokenizer_manager
        if releases:
            await manager.release_memory_occupation(io_struct.ReleaseMemoryOccupationReqInput(tags=None), None)
        else:
            await manager.resume_memory_occupation(io_struct.ResumeMemoryOccupationReqInput(tags=None), None)

    def stats(self) -> EngineStats:
        most = self._arguments.get("max_running_requests") or self._loop.running
        return self._ledger.stats(min(self._loop.running, int(most)), self._asleep)

    def close(self) -> None:
        self._ledger.cancel_all()
        self._loop.close(self._shut)
        self._weights.forget()

    def _refuse_asleep(self) -> None:
        if self._asleep:
            raise TunesmithError("this engine sleeps; wake it first")
