"""Losses and metrics as running sums that stay on the device until they are read."""

from __future__ import annotations

import torch
from tunesmith.types import LossOutput


class Sums:
    """Sums of the loss and of the stage's metrics over items. Reading them is one synchronisation with the device."""

    def __init__(self) -> None:
        self._totals: dict[str, torch.Tensor] = {}

    def add(self, output: LossOutput, scale: float = 1.0) -> None:
        """Add a batch's sums, `scale` times."""
        for name, value in {"loss": output.loss, **output.metrics}.items():
            value = torch.as_tensor(value).detach()
            value = value.float() if value.device.type == "mps" else value.double()
            self._totals[name] = self._totals[name] + value * scale if name in self._totals else value * scale

    def take(self) -> dict[str, float]:
        """The sums by name, in alphabetical order, and begin again from zero."""
        names = sorted(self._totals)
        values = torch.stack([self._totals[name] for name in names]).tolist() if names else []
        self._totals = {}
        return dict(zip(names, values, strict=True))
