"""Answers with transformers: the model as it is trained, on any device, nothing to install beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, between
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle, Problem
from tunesmith_library_engine.sampling import SamplingOptions

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

_SERVED = 16  # answers computed together
_OF_A_STEP = 1_000_000  # the same where a training step asks for so many as it wants at a time


@plugin
class Transformers(SamplingOptions):
    """Generates with transformers, in batches, every answer streamed.

    null leaves a value to the model's generation_config.json; where that says nothing, answers are greedy.
    """

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
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_engine

        rows = self.batch_size or (_OF_A_STEP if plan.command == "train" else _SERVED)
        return estimate_engine(estimate, plan, rows * self.num_beams, self.max_new_tokens, self.prefix_cache)

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from .beams import Beams
        from .engine import TransformersEngine

        beams = Beams(self.num_beams, self.length_penalty) if self.num_beams > 1 else None
        size = self.batch_size or (_OF_A_STEP if handle.source.training else _SERVED)
        kept = 0 if handle.source.training else self.prefix_cache
        return TransformersEngine(handle, self.sampling(), size, beams, kept)
