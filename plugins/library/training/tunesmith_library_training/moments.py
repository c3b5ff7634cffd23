"""Mean and spread of all numbers that were seen so far, over steps and processes.

Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tunesmith_library_training import processes


@dataclass
class Moments:
    """Of numbers with weights; without numbers the mean is 0 and the standard deviation 1."""

    count: float = 0.0  # sum of the weights
    mean: float = 0.0
    squares: float = 0.0  # Σ w (x − mean)²

    @property
    def deviation(self) -> float:
        """The unbiased standard deviation; 1 of a single number."""
        return float((self.squares / (self.count - 1)) ** 0.5) if self.count > 1 else 1.0

    def add(self, values: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        """Take the numbers of all processes, which all call it.

        Args:
            values: (n,), those of this process; weights: (n,), by default 1 each.
        """
        offsets = values.detach().float() - self.mean  # small, so that their squares are exact enough in fp32
        weights = torch.ones_like(offsets) if weights is None else weights.to(offsets)
        sums = torch.stack([weights.sum(), (weights * offsets).sum(), (weights * offsets**2).sum()])
        number, first, second = processes.total(sums).tolist()
        if not number:
            return
        moved, whole = first / number, self.count + number
        between = moved**2 * self.count * number / whole
        self.squares += max(second - number * moved**2, 0.0) + between
        self.mean += moved * number / whole
        self.count = whole

    def kept(self) -> list[float]:
        """As plain data."""
        return [self.count, self.mean, self.squares]

    def restore(self, kept: list[float]) -> None:
        """Go on from what `kept` gave."""
        self.count, self.mean, self.squares = kept
