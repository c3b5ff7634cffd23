"""Answers of a model while it is trained, given by the run's engine: what stages learn from that generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Engine, ModelHandle, Request, Sampling, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine import submit_all
from tunesmith_library_weights.switching import evaluating

from tunesmith_library_training.trained_weights import trained_weights


def answer_ends(job: TrainingJob) -> list[int]:
    """The tokens that end an answer of the model that is trained."""
    return end_tokens(job.template, tokenizer_of(job.processor), getattr(job.model, "generation_config", None))


def left_padded(prompts: Sequence[list[int]], device: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Make `input_ids` and `attention_mask`, both int64 (B, T), of prompts that end together, where answers begin.

    A row is padded with its own first token: a padding token would count as said already in a repetition penalty.
    """
    width = max(map(len, prompts))
    ids = [[prompt[0]] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


class Drawing:
    """The run's engine over the model that is trained: `with Drawing(job, sampling) as drawing: …`.

    It is opened for the first answers. One that runs the trained model itself shares its weights. One that has weights
    of its own is given the trained ones each time, with the adapter folded in, and sleeps in between. Nothing is
    computed at the same time as what it is learned with: drawing ends when the engine has come to rest.
    """

    def __init__(self, job: TrainingJob, sampling: Sampling) -> None:
        """
        Args:
            sampling: how answers are drawn, but for the seeds.
        """
        self._job = job
        self._sampling = replace(sampling, stop_token_ids=tuple(answer_ends(job)))
        self._engine: Engine | None = None
        self._shares = False  # the engine runs the trained model itself

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._engine is not None:
            self._engine.close()

    @property
    def context_length(self) -> int | None:
        """Tokens that a prompt and its answer may have together; None where there is no limit."""
        return self._opened().context_length

    def answers(self, prompts: Sequence[list[int]], max_new_tokens: int | None = None) -> list[list[int]]:
        """Draw an answer to each prompt: its token ids, with the token that ended it, if one did.

        torch's random numbers, of the CPU, decide what is drawn.

        Args:
            max_new_tokens: of an answer, at most; None: as the sampling says.

        Raises: TunesmithError when the run has no engine, or it cannot answer.
        """
        most = max_new_tokens or self._sampling.max_new_tokens
        seeds = torch.randint(2**62, (len(prompts),)).tolist()
        sampled = [replace(self._sampling, max_new_tokens=most, seed=seed) for seed in seeds]
        with evaluating(self._job.model), torch.no_grad():
            engine = self._opened()
            self._begin(engine)
            try:
                return _answers(engine, list(map(Request, prompts, sampled)))
            finally:
                self._end(engine)

    def _begin(self, engine: Engine) -> None:
        """Let the engine have the weights as they are now."""
        if self._shares:
            engine.load_weights(())  # it forgets what it remembers of others
            return
        if engine.stats().asleep:
            engine.wake()
        engine.load_weights(trained_weights(self._job))

    def _end(self, engine: Engine) -> None:
        """Wait until nothing is computed any more."""
        if self._shares:
            engine.load_weights(())
        else:
            engine.sleep()

    def _opened(self) -> Engine:
        """The engine, over the model as it is trained.

        Raises: TunesmithError when there is none, or prompts of the run fill the model's context.
        """
        if self._engine is not None:
            return self._engine
        job = self._job

        def load() -> Any:
            self._shares = True
            return job.model

        handle: ModelHandle | None = job.handle and replace(job.handle, load=load)
        half = torch.autocast(job.model.device.type, torch.bfloat16, enabled=job.precision == "bf16")
        with evaluating(job.model), half:
            engine = job.open_engine(handle=handle) if job.open_engine and handle else None
        if engine is None:
            raise TunesmithError(
                "nothing answers the prompts: the run has no engine.\n"
                "  tell the authors of the stage: its traits must say that it generates"
            )
        self._engine = engine
        self._check_room(engine.context_length)
        return engine

    def _check_room(self, limit: int | None) -> None:
        """Raise TunesmithError for prompts that leave no room for an answer, and tell of those that leave little."""
        if limit is None:
            return
        sets = (self._job.data.train, *self._job.data.eval.values())
        lengths = [len(data[index]["prompt_input_ids"]) for data in sets for index in range(len(data))]
        full, wanted = sum(length >= limit for length in lengths), self._sampling.max_new_tokens or 0
        if full:
            raise TunesmithError(
                f"{full} of {len(lengths)} prompts fill the model's context of {limit} tokens: the longest has "
                f"{max(lengths)}.\n  stage.max_prompt_length={max(1, limit - wanted)} leaves them out"
            )
        short = sum(length + wanted > limit for length in lengths)
        if short:
            logger.warning(
                "%d of %d prompts leave less than %d tokens of the model's context of %d: their answers end there",
                *(short, len(lengths), wanted, limit),
            )


def _answers(engine: Engine, requests: Sequence[Request]) -> list[list[int]]:
    """The tokens of whole answers."""
    answers = submit_all(engine, requests)
    try:
        return [list(answer.result().token_ids) for answer in answers]
    finally:
        for answer in answers:  # they have ended, unless one failed or somebody interrupts
            answer.cancel()
