"""Prompts of token ids, the same for both programs."""

from __future__ import annotations

import random

LENGTH = 64


def prompts(count: int) -> list[list[int]]:
    rng = random.Random(count)
    return [[rng.randrange(5, 300) for _ in range(LENGTH)] for _ in range(count)]
