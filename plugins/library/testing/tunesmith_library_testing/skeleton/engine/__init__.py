"""An engine: one answer after the other, token by token, with transformers' cache."""

from typing import Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle


@plugin
class Placeholder:
    """The shortest engine that streams."""

    traits: ClassVar[EngineTraits] = EngineTraits(runs_modules=True)  # so that stages that generate can have it

    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512  # of an answer
    temperature: Annotated[float, at_least(0, most=100)] = 0.0  # 0 takes the likeliest token, 1 draws as the model says
    top_k: Annotated[int, at_least(0, most=10_000_000)] = 0  # draw from so many likeliest tokens; 0 is all

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from tunesmith.types import Sampling

        from .engine import PlaceholderEngine

        return PlaceholderEngine(handle, Sampling(self.max_new_tokens, self.temperature, top_k=self.top_k))
