"""Whether a run fits the machine that it was estimated for."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.room import Room


@dataclass(frozen=True)
class Verdict:
    """What is needed at the highest moment, beside what there is."""

    peak: float  # bytes of the device's memory
    room: Room  # of the device
    host_peak: float = 0.0  # bytes of the host's memory, for all processes of the machine
    host: Room | None = None

    @property
    def fits(self) -> bool:
        """Whether both hold what is needed of them."""
        return self.room.holds(self.peak) and (self.host is None or self.host.holds(self.host_peak))

    @property
    def missing(self) -> float:
        """Bytes of the device's memory that are too few; 0 where it holds all."""
        return max(self.peak - self.room.share * self.room.total, 0.0)


def verdict(estimate: Estimate) -> Verdict | None:
    """Whether the run fits; None where it is not known how much it needs, or how much there is."""
    room = estimate.machine.room
    holds = any(memory.of in ("weights", "cache") for memory in estimate.memory.values())
    if room is None or not (estimate.weights or holds):
        return None
    return Verdict(estimate.peak[1], room, estimate.host_peak, estimate.machine.host)
