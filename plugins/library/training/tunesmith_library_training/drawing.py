"""Answers of a model while it is trained, given by the run's engine: what stages learn from that generate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Engine, ModelHandle, Request, Sampling, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine import submit_all
from tunesmith_library_media.tensors import tensors_of
from tunesmith_library_weights.switching import evaluating

from tunesmith_library_training.media import columns_of
from tunesmith_library_training.prompts import items_shown
from tunesmith_library_training.trained_weights import trained_weights
from tunesmith_library_training.whole import pace_of

_NEVER = -1e9  # onto the score of a token that is not to be said


def answer_ends(job: TrainingJob) -> list[int]:
    """The tokens that end an answer of the model that is trained."""
    return end_tokens(job.template, tokenizer_of(job.processor), getattr(job.model, "generation_config", None))


def tokens_of_items(model: Any) -> list[int]:
    """The tokens in whose place a model that sees or hears reads tensors: said in an answer, nothing would be there."""
    names = (f"{kind}_token_{which}" for kind in ("image", "video", "audio") for which in ("id", "index"))
    found = {getattr(model.config, name, None) for name in names}
    return sorted(token for token in found if isinstance(token, int))


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
        never = {**sampling.logit_bias, **dict.fromkeys(tokens_of_items(job.model), _NEVER)}
        self._sampling = replace(sampling, stop_token_ids=tuple(answer_ends(job)), logit_bias=never)
        self._engine: Engine | None = None
        self._shares = False  # the engine runs the trained model itself
        self._pace: Callable[[], AbstractContextManager[None]] = nullcontext  # in which the engine runs it

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._engine is not None:
            self._engine.close()

    @property
    def context_length(self) -> int | None:
        """Tokens that a prompt and its answer may have together; None where there is no limit."""
        return self._opened().context_length

    def answers(
        self, examples: Sequence[Mapping[str, Any]], seeds: Sequence[int], max_new_tokens: int | None = None
    ) -> list[list[int]]:
        """Draw an answer to each encoded prompt: its token ids, with the token that ended it, if one did.

        All processes call it equally often, also those that have nothing to ask.

        Args:
            examples: of `prompts.encode_prompts`; what the same one shows is decoded once.
            seeds: of each answer; see `seeds`.
            max_new_tokens: of an answer, at most; None: as the sampling says.

        Raises: TunesmithError when the run has no engine, or it cannot answer; DataError for what cannot be decoded.
        """
        most = max_new_tokens or self._sampling.max_new_tokens
        shown = {id(example): self._inputs(example) for example in examples}
        requests = [
            Request(
                list(example["prompt_input_ids"]),
                replace(self._sampling, max_new_tokens=most, seed=seed),
                inputs=shown[id(example)],
            )
            for example, seed in zip(examples, seeds, strict=True)
        ]
        with evaluating(self._job.model), torch.no_grad():
            engine = self._opened()
            self._begin(engine)
            try:
                with self._pace():
                    return _answers(engine, requests)
            finally:
                self._end(engine)

    def _inputs(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors that the model reads for what a prompt shows."""
        ids = torch.tensor([list(example["prompt_input_ids"])])
        return tensors_of(self._job.processor, [items_shown(example)], {"input_ids": ids})

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
        self._pace = pace_of(job.model) if self._shares else nullcontext
        self._check_seeing()
        self._check_room(engine.context_length)
        return engine

    def _check_seeing(self) -> None:
        """Raise TunesmithError for prompts that show something, where the engine is given tokens and weights alone."""
        if self._shares or not columns_of(self._job.processor):
            return
        sets = (self._job.data.train, *self._job.data.eval.values())
        shown = [bool(items_shown(data[index])) for data in sets for index in range(len(data))]
        if any(shown):
            raise TunesmithError(
                f"{sum(shown)} of {len(shown)} prompts show images, videos or sounds, and the run's engine, which has "
                "weights of its own, is given tokens alone.\n"
                "  engine=transformers answers with the trained model itself, which sees them"
            )

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
