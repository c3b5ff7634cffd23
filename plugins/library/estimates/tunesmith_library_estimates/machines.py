"""The hardware that an estimate is for: the machine at hand, or one that was named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tunesmith.errors import TunesmithError, choices

from tunesmith_library_estimates.at_hand import accelerators, processor
from tunesmith_library_estimates.devices import Device, device_named, devices, plain
from tunesmith_library_estimates.room import Room, of_accelerator, of_host

_COUNTED = (
    re.compile(r"(?P<name>.+?)\s*[x×*:]\s*(?P<count>\d+)", re.I),
    re.compile(r"(?P<count>\d+)\s*[x×*]\s*(?P<name>.+)", re.I),
)


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
    model: str = ""  # of the device at hand, which what was measured is kept by; empty for one that was named

    @property
    def is_known(self) -> bool:
        """Whether it is known how much memory there is."""
        return self.room is not None


def machine_at_hand(use_cpu: bool = False) -> Machine:
    """This machine, found out without torch: of several accelerators the smallest, as many as there are of it."""
    found = () if use_cpu else accelerators()
    if not found:
        own = processor()
        name = "this machine"
        return Machine(name, "cpu", 1, of_host(), None, own.flops, own.bandwidth, 0.0, own.model)
    model, memory = min(found, key=lambda item: item[1])
    known = device_named(model)
    made = _of(known) if known else Machine(model, "cuda")
    room = of_accelerator(memory)
    return replace(
        made, name="this machine", count=len(found), room=room, host=of_host(), model=known.name if known else model
    )


def machine_named(name: str) -> Machine:
    """A machine by the name of its devices, and how many it has: `rtx4090`, `h100x8`, `8xh100`, `a100-40gb`; `24gb` is
    any of that memory, `cpu` that of this machine.

    Raises: TunesmithError where no such device is known.
    """
    if plain(name) == "cpu":
        return machine_at_hand(use_cpu=True)
    found, count = device_named(name), 1
    for form in _COUNTED:
        counted = form.fullmatch(name.strip())
        if found is None and counted and int(counted["count"]):
            found, count = device_named(counted["name"]), int(counted["count"])
    if found is None:
        known = choices(plain(name), [plain(device.name) for device in devices()], "known")
        alone = "its memory alone will do: 24gb, 80gbx8; docs/hardware.md lists all names"
        raise TunesmithError(f"{name or 'no name'}: no known device.\n{known}\n{alone}")
    made = _of(found)
    return made if count == 1 else replace(made, name=f"{count} × {made.name}", count=count)


def _of(device: Device) -> Machine:
    return Machine(
        device.name,
        device.device,
        room=of_accelerator(_usable(device)),
        flops=device.flops,
        bandwidth=device.bandwidth,
        link=device.link,
    )


def _usable(device: Device) -> float:
    """Bytes that a process may have: an Apple GPU shares the machine's, and is given two thirds, or three quarters."""
    if device.device != "mps":
        return device.memory
    return device.memory * (3 / 4 if device.memory > 36 * 2**30 else 2 / 3)
