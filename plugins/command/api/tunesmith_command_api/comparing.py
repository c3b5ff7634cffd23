"""How well texts go together: by a reward model's score of one as the answer to the other, else by their vectors.

A language model's vector of a text is what its engine gives (the mean of its last hidden states in engine.transformers)
at length 1, so that the product of two is the cosine of their angle. Few models are trained to have such vectors; the
order of texts that go together far better than others is what may be expected of one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .errors import invalid
from .scoring import ScoringEngine
from .service import Service

MOST = 2048
"""Texts of one request, as OpenAI has it."""


def judge_of(service: Service) -> ScoringEngine | None:
    """The service's reward model, if it is one."""
    return service.engine if isinstance(service.engine, ScoringEngine) else None


def check_number(texts: Sequence[object], name: str) -> None:
    """Raises: ApiError for no texts, and for too many."""
    if not 0 < len(texts) <= MOST:
        raise invalid(f"{name} holds {len(texts)} texts; possible: 1 to {MOST}", name)


async def vectors(
    service: Service, sequences: Sequence[Sequence[int]], adapter: str | None, name: str
) -> list[list[float]]:
    """A vector of length 1 for each sequence of tokens; what is nowhere stays there.

    Raises: ApiError about the field `name`.
    """
    found = await service.in_engine(lambda: service.engine.embed(sequences, adapter=adapter), name)
    service.metrics.prompt_tokens.inc(sum(map(len, sequences)))
    return [_unit(vector) for vector in found]


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else list(vector)


async def likeness(
    service: Service, pairs: Sequence[tuple[str, str]], adapter: str | None, name: str
) -> tuple[list[float], int]:
    """How well the texts of each pair go together, and how many tokens were read for it.

    Raises: ApiError about the field `name`.
    """
    judge = judge_of(service)
    if judge is None:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        sequences = await service.in_thread(lambda: [service.tokens_of(text, True) for text in texts], name)
        found = dict(zip(texts, await vectors(service, sequences, adapter, name), strict=True))
        scores = [math.fsum(a * b for a, b in zip(found[one], found[other], strict=True)) for one, other in pairs]
        return scores, sum(map(len, sequences))
    conversations = [
        [{"role": "user", "content": one}, {"role": "assistant", "content": other}] for one, other in pairs
    ]
    asked = await service.in_thread(lambda: judge.tokens(conversations), name)
    return await judged(service, judge, asked, name), sum(map(len, asked))


async def judged(
    service: Service, judge: ScoringEngine, sequences: Sequence[Sequence[int]], name: str, max_length: int | None = None
) -> list[float]:
    """The reward model's scores.

    Raises: ApiError about the field `name`.
    """
    scores = await service.in_engine(lambda: judge.judge(sequences, max_length), name)
    service.metrics.prompt_tokens.inc(sum(min(len(each), max_length or len(each)) for each in sequences))
    return scores
