"""The hardware that an estimate is for: the machine at hand, or one that was named."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from tunesmith_library_estimates.room import Room, at_hand, of_host


@dataclass(frozen=True)
class Machine:
    """One kind of device, and the machine that it is in. What nobody tells is None, or empty."""

    name: str = ""  # as people call it: `RTX 4090`, `this machine`
    device: str = ""  # that is computed on, as torch names its kind: cuda, cpu, mps
    count: int = 1  # devices of one machine
    room: Room | None = None  # the memory of a device; of a CPU the machine's
    host: Room | None = None  # the machine's own memory, where the device is no CPU
    flops: Mapping[str, float] = field(default_factory=dict)  # dense products by precision, FLOP/s of a device
    bandwidth: float = 0.0  # of a device's memory, bytes/s
    link: float = 0.0  # between the devices of a machine, bytes/s in each direction

    @property
    def is_known(self) -> bool:
        """Whether it is known how much memory there is."""
        return self.room is not None


def machine_at_hand(use_cpu: bool = False) -> Machine:
    """This machine, found out without torch."""
    device = "cpu" if use_cpu or shutil.which("nvidia-smi") is None else "cuda"
    return Machine("this machine", device, room=at_hand(use_cpu), host=None if device == "cpu" else of_host())
