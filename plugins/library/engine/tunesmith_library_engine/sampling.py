"""The options of engines that say how an answer is drawn where its request does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tunesmith.ranges import above, at_least, between
from tunesmith.types import Sampling


@dataclass(eq=False, kw_only=True)
class SamplingOptions:
    """Sampling, under the names of transformers' generation configurations; for plugins of the kind `engine`."""

    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512  # tokens of an answer, at most
    temperature: Annotated[float, at_least(0, most=100)] | None = None  # 0 is greedy, 1 the model's own probabilities
    top_p: Annotated[float, between(0, 1)] | None = None  # draw from the likeliest that have this probability together
    top_k: Annotated[int, at_least(0, most=10_000_000)] | None = None  # draw from this many likeliest tokens; 0 is all
    min_p: Annotated[float, between(0, 1)] | None = None  # draw from tokens this likely beside the likeliest one
    # above 1 makes tokens that occurred less likely
    repetition_penalty: Annotated[float, above(0, most=100)] | None = None

    def sampling(self) -> Sampling:
        """What is asked for where a request leaves it open."""
        return Sampling(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
        )
