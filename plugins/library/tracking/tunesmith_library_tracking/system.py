"""Memory and utilisation of the machine and of this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

_GIB = 2**30


class System:
    """Samples what is in use. GPUs are NVIDIA's, where nvidia-ml-py is installed and finds any."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._gpus = dict(_gpus())
        self._shares()  # the first answer of psutil is 0: it is about the time since the former one

    def sample(self) -> dict[str, float]:
        """What is in use now, by name, with the unit in it; shares of the CPU are since the former sample.

        `process_cpu_percent` is 100 for each core that is busy; memory of the process is what is in RAM.
        """
        memory = self._psutil.virtual_memory()
        found = {
            **self._shares(),
            "ram_gib": (memory.total - memory.available) / _GIB,
            "ram_percent": memory.percent,
            "process_ram_gib": self._process.memory_info().rss / _GIB,
        }
        for index, gpu in self._gpus.items():
            with contextlib.suppress(Exception):  # a GPU that is reset or lost is left out
                found |= {f"gpu{index}_{name}": value for name, value in _used(gpu).items()}
        return found

    def _shares(self) -> dict[str, float]:
        return {
            "cpu_percent": self._psutil.cpu_percent(interval=None),
            "process_cpu_percent": self._process.cpu_percent(interval=None),
        }


def _gpus() -> Iterator[tuple[int, Any]]:
    """The handles of NVIDIA's library by the number that torch gives a GPU: those that this process may see."""
    try:
        import pynvml

        pynvml.nvmlInit()
        for index, name in enumerate(_visible(pynvml.nvmlDeviceGetCount())):
            by_number = name.isdecimal()
            yield (
                index,
                (pynvml.nvmlDeviceGetHandleByIndex(int(name)) if by_number else pynvml.nvmlDeviceGetHandleByUUID(name)),
            )
    except Exception:  # no library, no driver, no such GPU: there is nothing to be told of
        return


def _visible(count: int) -> list[str]:
    """What CUDA_VISIBLE_DEVICES names; without it, all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index in range(count)]
    return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]


def _used(gpu: Any) -> dict[str, float]:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    used = {"memory_gib": memory.used / _GIB, "memory_percent": 100.0 * memory.used / memory.total}
    with contextlib.suppress(pynvml.NVMLError):  # not with every driver, and not in a slice of a GPU
        used["utilization_percent"] = float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
    with contextlib.suppress(pynvml.NVMLError):
        used["power_watts"] = pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000.0
    return used
