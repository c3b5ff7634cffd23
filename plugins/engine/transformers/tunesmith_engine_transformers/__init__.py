"""Answers with transformers: the model as it is trained, on any device, nothing to install beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, between
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_SERVED = 16  # answers computed together
_OF_A_STEP = 1_000_000  # the same where a training step asks for so many as it wants at a time


@plugin
class Transformers:
    """Generates with transformers, in batches, every answer streamed.

    null leaves a value to the model's generation_config.json; where that says nothing, answers are greedy.
    """

    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512  # tokens of an answer, at most
    temperature: Annotated[float, at_least(0, most=100)] | None = None  # 0 is greedy, 1 the model's own probabilities
    top_p: Annotated[float, between(0, 1)] | None = None  # draw from the likeliest that have this probability together
    top_k: Annotated[int, at_least(0, most=10_000_000)] | None = None  # draw from this many likeliest tokens; 0 is all
    min_p: Annotated[float, between(0, 1)] | None = None  # draw from tokens this likely beside the likeliest one
    # above 1 makes tokens that occurred less likely
    repetition_penalty: Annotated[float, above(0, most=100)] | None = None
    # continuations that are followed at a time, of which the likeliest as a whole is the answer, told at its end
    num_beams: Annotated[int, at_least(1, most=1_000)] = 1
    # with several beams: above 0 prefers longer answers, below 0 shorter ones
    length_penalty: Annotated[float, between(-100, 100)] = 1.0
    # answers computed together, more wait until there is room; null is 16, and in training all that a step asks for
    # at a time
    batch_size: Annotated[int, at_least(1, most=1_000_000)] | None = None
    # tokens that are kept of answers that have ended, for prompts that begin alike; 0, and training, keep none
    prefix_cache: Annotated[int, at_least(0, most=1_000_000_000)] = 8192

    @property
    def traits(self) -> EngineTraits:
        return EngineTraits(runs_modules=True, searches=self.num_beams > 1)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if self.num_beams > 1 or self.length_penalty == 1.0:
            return []
        message = "engine.length_penalty has no effect without engine.num_beams: one continuation is followed."
        return [Problem("engine.length_penalty", message, "engine.num_beams=4", "warning")]

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from tunesmith.types import Sampling

        from .beams import Beams
        from .engine import TransformersEngine

        defaults = Sampling(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )
        beams = Beams(self.num_beams, self.length_penalty) if self.num_beams > 1 else None
        size = self.batch_size or (_OF_A_STEP if handle.source.training else _SERVED)
        kept = 0 if handle.source.training else self.prefix_cache
        return TransformersEngine(handle, defaults, size, beams, kept)
