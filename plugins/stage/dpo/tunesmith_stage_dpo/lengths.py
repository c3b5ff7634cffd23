"""LD-DPO: what an answer says beyond the other's length counts less, so that length alone is not preferred.

Liu et al. 2024, "Length Desensitization in Direct Preference Optimization" (arXiv 2409.06411).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tunesmith.types import IGNORED
from tunesmith_library_training.pairs import PREFIXES


def shared_length_weights(examples: Sequence[Mapping[str, Any]], alpha: float) -> list[np.ndarray]:
    """Weights of the labels: 1 for as many trained tokens as both answers of a pair have, `alpha` for the rest.

    Returns: float32 arrays, one per sequence: those of all chosen answers, then of all rejected ones.
    """
    positions = [[_position(example[f"{prefix}labels"]) for prefix in PREFIXES] for example in examples]
    shared = [min(int(position.max(initial=0)) for position in pair) for pair in positions]
    return [
        np.where(positions[pair][side] <= shared[pair], 1.0, alpha).astype(np.float32)
        for side in range(len(PREFIXES))
        for pair in range(len(examples))
    ]


def _position(labels: Sequence[int]) -> np.ndarray:
    """Of each token, how many trained ones there are up to it; the first token of a sequence is never trained."""
    trained: np.ndarray = np.asarray(labels) != IGNORED
    trained[:1] = False
    return trained.cumsum()
