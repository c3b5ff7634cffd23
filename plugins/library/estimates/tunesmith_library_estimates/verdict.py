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
    """Whether the run fits; None where it is not known how much it needs, or how much there is.

    Activations that may be computed again are taken as they will be: where keeping them does not fit, they are.
    """
    room = estimate.machine.room
    if room is None or (not estimate.memory and not estimate.weights):
        return None
    peak = estimate.peak[1]
    if estimate.recomputed and not room.holds(peak):
        peak = min(peak, estimate.computing_again().peak[1])
    return Verdict(peak, room, estimate.host_peak, estimate.machine.host)
