"""Devices by name, as data: what makers publish of memory, products and links. `devices.json` has one a line.

Memory is what the driver reports, in MiB. Products are dense, in TFLOP/s; of bf16 and fp16 they are summed in fp32, and
of fp32 they are without TF32, as torch multiplies by default. Bandwidth is in GB/s, a link's each way: NVLink and its
like where servers have it, else PCIe. Of an Apple chip the largest memory that it is sold with.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from importlib.resources import files

_WORDS = re.compile(r"nvidia|geforce|tesla|amd|instinct|radeon|apple|generation|[^a-z0-9]")
_SIZE = re.compile(r"(?P<name>.*?)(?P<size>\d+)gb")


@dataclass(frozen=True)
class Device:
    """One kind of device."""

    name: str  # as people call it: RTX 4090
    device: str  # as torch names its kind
    memory: float  # bytes
    flops: dict[str, float]  # FLOP/s by precision; what is not there it does not do, or slower than fp32
    bandwidth: float  # bytes/s
    link: float  # bytes/s each way
    also: tuple[str, ...]  # other names, in the form of `plain`


def plain(name: str) -> str:
    """A name without what people and drivers add or leave out: `NVIDIA GeForce RTX 4090` is `rtx4090`."""
    return _WORDS.sub("", name.lower())


def device_named(name: str) -> Device | None:
    """The device of a name, as people or drivers write it; None where it is not known.

    With a size behind it is that device with another memory: `m3max-64gb`; a size alone is any device of that memory.
    """
    wanted, known = plain(name), _by_name()
    if wanted in known:
        return known[wanted]
    sized = _SIZE.fullmatch(wanted)
    if sized is None or not int(sized["size"]):
        return None
    memory = int(sized["size"]) * 2**30
    if not sized["name"]:
        return Device(f"{sized['size']} GB", "cuda", memory, {}, 0, 0, ())
    found = known.get(sized["name"])
    if found is None:
        return None
    return Device(
        f"{found.name} {sized['size']} GB", found.device, memory, found.flops, found.bandwidth, found.link, ()
    )


@functools.cache
def devices() -> tuple[Device, ...]:
    """All that are known."""
    listed = json.loads((files(__package__) / "devices.json").read_text(encoding="utf-8"))
    return tuple(
        Device(
            item["name"],
            item["device"],
            item["memory"] * 2**20,
            {precision: 1e12 * rate for precision, rate in item["flops"].items()},
            1e9 * item["bandwidth"],
            1e9 * item["link"],
            tuple(item["also"]),
        )
        for item in listed
    )


@functools.cache
def _by_name() -> dict[str, Device]:
    return {name: device for device in devices() for name in (plain(device.name), *device.also)}
