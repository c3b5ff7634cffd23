"""A model in vLLM that answers requests of token ids, from any thread."""

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
from .talking import delta_of, parameters, scores_of


class VLLMEngine:
    """See `tunesmith.types.Engine`. One thread has an event loop, in which vLLM's own engine is asked; that computes in
    processes of its own.
    """

    _llm: Any = None  # while it is awake

    def __init__(self, handle: ModelHandle, defaults: Sampling, opening: Opening) -> None:
        """
        Args:
            defaults: for what a request leaves open; with `max_new_tokens`.

        Raises: TunesmithError for a model or an adapter that vLLM does not run.
        """
        folder, self._training = handle.source.path, handle.source.training  # which gives the weights anew each time
        self._arguments, self._defaults, self._own = opening.arguments(handle), defaults, own_sampling(folder)
        self._loras = {lora.name: (number, lora) for number, lora in enumerate(opening.loras(handle), start=1)}
        self._loop, self._ledger, self._numbers = TaskLoop(), Ledger(), itertools.count()
        self._weights = Weights(folder)
        self._asleep = False
        self._sleeps = bool(self._arguments.enable_sleep_mode)
        try:
            self._loop.call(self._open())
        except BaseException:
            self._loop.close(self._shut)
            raise
        config = self._llm.model_config
        self.context_length: int | None = int(config.max_model_len)
        self._vocabulary = int(config.get_vocab_size())
        self.end_token_ids = own_ends(folder) | frozenset(end_tokens(None, tokenizer_of(handle.processor)))
        self.adapters = (BASE, *self._loras) if self._loras else ()

    async def _open(self) -> None:
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            self._llm = AsyncLLM.from_engine_args(self._arguments)
        except Exception as error:
            raise TunesmithError(
                f"vLLM does not open {self._arguments.model}: {type(error).__name__}: {error}\n"
                "  what it wrote before may say more; for memory: engine.gpu_memory_utilization, engine.max_model_len"
            ) from error

    async def _shut(self) -> None:
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()

    def submit(self, request: Request) -> Answer:
        self._refuse_asleep()
        check_request(self, request)
        check_vocabulary(request, self._vocabulary)
        if request.inputs:
            raise TunesmithError(f"vLLM takes token ids here, and nothing else: not {', '.join(request.inputs)}")
        wanted = request.sampling.max_new_tokens or self._defaults.max_new_tokens or 1
        limit = min(wanted, (self.context_length or wanted) - len(request.prompt))
        sampling = filled(request.sampling, self._defaults, self._own, limit)
        made = parameters(sampling, request.log_probs, self.end_token_ids)

        async def deltas() -> AsyncGenerator[Delta, None]:
            async with contextlib.aclosing(self._asked(request.prompt, made, request.adapter)) as told:
                async for output in told:
                    delta = delta_of(output.outputs[0], request.log_probs)
                    if delta.token_ids or delta.finish_reason:
                        yield delta

        answer = self._loop.begin(deltas)
        self._ledger.follow(request, answer)
        return answer

    async def _asked(self, prompt: Sequence[int], made: Any, adapter: str | None) -> AsyncGenerator[Any, None]:
        """What vLLM says of a prompt; closing it gives the request up.

        Raises: TunesmithError for what vLLM refuses, and when it has died.
        """
        from vllm.inputs import TokensPrompt
        from vllm.lora.request import LoRARequest

        name = next(iter(self._loras), BASE) if adapter is None else adapter
        number, lora = self._loras.get(name, (0, None))
        over = LoRARequest(name, number, str(lora.folder)) if lora else None
        asked = TokensPrompt(prompt_token_ids=list(prompt))
        told = self._llm.generate(asked, made, str(next(self._numbers)), lora_request=over)
        async with contextlib.aclosing(told):
            try:
                async for output in told:
                    yield output
            except Exception as error:
                cause = error.__cause__ or error
                raise TunesmithError(f"vLLM does not answer: {type(cause).__name__}: {cause}") from error

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        self._refuse_asleep()
        check_adapter(self, adapter)
        check_alternatives(alternatives)
        limit = (self.context_length or 0) - 1  # vLLM always computes a token behind them
        for index, sequence in enumerate(sequences):
            if not sequence:
                raise TunesmithError(f"sequence {index} is empty")
            if len(sequence) > limit:
                raise TunesmithError(f"sequence {index} has {len(sequence)} tokens; vLLM scores at most {limit} here")
            check_tokens(sequence, self._vocabulary, f"sequence {index}")
        return self._loop.call(self._scored(sequences, alternatives, adapter))

    async def _scored(self, sequences: Sequence[Sequence[int]], alternatives: int, adapter: str | None) -> Any:
        made = parameters(Sampling(max_new_tokens=1, temperature=0.0), None, (), prompt=alternatives)

        async def one(sequence: Sequence[int]) -> tuple[LogProb, ...]:
            said: Any = None
            async for output in self._asked(sequence, made, adapter):
                said = said or output.prompt_logprobs
            return scores_of(said or [], sequence, alternatives)

        return list(await asyncio.gather(*map(one, sequences)))

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        raise TunesmithError(
            "vLLM runs a model either for answers or for vectors, and this one answers.\n"
            "  engine=transformers has both; `vllm serve MODEL --runner pooling` behind engine=openai has vectors"
        )

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        """They go through files, which vLLM reads as it read the model's."""
        self._refuse_asleep()
        self._loop.settle()
        with self._weights.written(weights) as folder:
            self._loop.call(self._reloaded(str(folder)))

    async def _reloaded(self, folder: str) -> None:
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        await self._llm.reset_prefix_cache()

    def sleep(self) -> None:
        """Wait for the answers, then let weights and memory go; with `enable_sleep_mode` the weights wait in the
        machine's memory, else they are read again."""
        self._asleep = True
        self._loop.settle()
        if self._sleeps:
            self._loop.call(self._llm.sleep(level=1))
        else:
            self._loop.call(self._shut())

    def wake(self) -> None:
        if self._sleeps:
            self._loop.call(self._llm.wake_up())
        elif self._llm is None:
            self._loop.call(self._open())
            if self._weights.exchanged and not self._training:
                logger.warning(
                    "engine: the weights are those of the files again; engine.enable_sleep_mode keeps others"
                )
                self._weights.forget()
        self._asleep = False

    def stats(self) -> EngineStats:
        most = 0 if self._llm is None else int(self._llm.vllm_config.scheduler_config.max_num_seqs)
        return self._ledger.stats(min(self._loop.running, most), self._asleep)

    def close(self) -> None:
        self._ledger.cancel_all()
        self._loop.close(self._shut)
        self._weights.forget()

    def _refuse_asleep(self) -> None:
        if self._asleep:
            raise TunesmithError("this engine sleeps; wake it first")
