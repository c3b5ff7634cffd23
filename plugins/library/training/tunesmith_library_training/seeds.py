"""The seeds by which answers are drawn: of the place that an answer has among all of its step.

So any number of processes draws the same answers, and so does a run that goes on from a checkpoint.
"""

from __future__ import annotations

import torch


def generator_of(seed: int, step: int) -> torch.Generator:
    """The random numbers of a step, the same on all processes. Args: seed: of the run; step: from 0."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def seeds_from(generator: torch.Generator, count: int) -> list[int]:
    """A seed for each of so many answers, which are all that all processes draw."""
    found: list[int] = torch.randint(2**62, (count,), generator=generator).tolist()
    return found
