"""Losses and metrics as running sums that stay on the device until they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from tunesmith.types import LossOutput

Totals = dict[str, list[float]]
"""By name: the sum over the items; or sum and number; or two of those, whose means are to be subtracted."""


class Sums:
    """Sums of the loss and of the stage's metrics. Reading them is one synchronisation with the device."""

    def __init__(self) -> None:
        self._totals: dict[str, torch.Tensor] = {}

    def add(self, output: LossOutput, scale: float = 1.0) -> None:
        """Add a batch's sums, `scale` times."""
        for name, value in {"loss": output.loss, **output.metrics}.items():
            value = torch.as_tensor(value).detach()
            value = value.float() if value.device.type == "mps" else value.double()
            self._totals[name] = self._totals[name] + value * scale if name in self._totals else value * scale

    def kept(self) -> Mapping[str, torch.Tensor]:
        """What `restore` takes."""
        return dict(self._totals)  # a sum is replaced by a larger one, and never changed

    def restore(self, kept: Mapping[str, torch.Tensor]) -> None:
        """Forget what was added since."""
        self._totals = dict(kept)

    def take(self) -> Totals:
        """The totals, and begin again from zero."""
        totals, self._totals = self._totals, {}
        values = iter(torch.cat([total.flatten() for total in totals.values()]).tolist() if totals else [])
        return {name: [next(values) for _ in range(total.numel())] for name, total in totals.items()}


def joined(parts: Iterable[Mapping[str, Sequence[float]]]) -> Totals:
    """The totals of all processes, of which some may have names that others lack; in alphabetical order."""
    found: Totals = {}
    for part in parts:
        for name, values in part.items():
            found[name] = [a + b for a, b in zip(found.get(name, [0.0] * len(values)), values, strict=True)]
    return dict(sorted(found.items()))


def means(totals: Mapping[str, Sequence[float]], items: float) -> dict[str, float]:
    """What is logged of totals (see `LossOutput.metrics`); a mean of nothing is left out, but for items.

    Args:
        items: what the totals of one number are divided by.
    """
    found = {}
    for name, values in totals.items():
        if len(values) == 1:
            found[name] = values[0] / (items or 1.0)
        elif all(values[1::2]):
            mean, *others = (total / number for total, number in zip(values[::2], values[1::2], strict=True))
            found[name] = mean - sum(others)
    return found
