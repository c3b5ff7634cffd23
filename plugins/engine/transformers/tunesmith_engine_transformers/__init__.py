"""Answers with transformers: the model as it is trained, on any device, nothing to install beside."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, between
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle


@plugin
class Transformers:
    """Generates with transformers, in batches, every answer streamed.

    null leaves a value to the model's generation_config.json; where that says nothing, answers are greedy.
    """

    traits: ClassVar[EngineTraits] = EngineTraits(runs_modules=True)

    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512  # tokens of an answer, at most
    temperature: Annotated[float, at_least(0, most=100)] | None = None  # 0 is greedy, 1 the model's own probabilities
    top_p: Annotated[float, between(0, 1)] | None = None  # draw from the likeliest that have this probability together
    top_k: Annotated[int, at_least(0, most=10_000_000)] | None = None  # draw from this many likeliest tokens; 0 is all
    min_p: Annotated[float, between(0, 1)] | None = None  # draw from tokens this likely beside the likeliest one
    # above 1 makes tokens that occurred less likely
    repetition_penalty: Annotated[float, above(0, most=100)] | None = None
    # answers computed together; more wait until there is room
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 16

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from tunesmith.types import Sampling

        from .engine import TransformersEngine

        defaults = Sampling(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )
        return TransformersEngine(handle, defaults, self.batch_size)
