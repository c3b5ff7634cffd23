"""A private patch that each process of a run notes its own figures with, for `processes.py`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith.types import TrainingJob


def resident() -> int:
    """Bytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@plugin
class Probe:
    """Notes the processor time and the memory at each forward pass, and how much of the weights a process has."""

    folder: str  # where each process writes a file

    _seconds: list[float] = []
    _held: list[int] = []
    _before: int = 0

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        self._before = resident()
        return (yield)

    @hookimpl(wrapper=True)
    def compute_loss(self) -> Generator[None, Any, Any]:
        self._seconds.append(time.process_time())
        self._held.append(resident())
        return (yield)

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        finished = yield
        own = ("ds_tensor", "_local_tensor")  # the part that DeepSpeed, and torch's FSDP, leave to a process
        weights = [
            next((getattr(weight, name) for name in own if hasattr(weight, name)), weight)
            for weight in job.model.parameters()
        ]
        told = {
            "seconds": self._seconds,
            "held": [value - self._before for value in self._held],
            "weights": sum(weight.numel() * weight.element_size() for weight in weights),
        }
        Path(self.folder, os.environ.get("RANK", "0")).write_text(json.dumps(told))
        return finished
