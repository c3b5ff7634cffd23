"""What is measured of a training: time between two of its steps, and the memory at its highest."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

import torch

SIZES = {"cpu": 512, "cuda": 8_192}  # of square matrices


@dataclass(frozen=True)
class Plan:
    """How long a figure is measured."""

    device: str
    warm: int  # steps before the time counts
    steps: int  # in all
    longest: int  # words of an answer
    new_tokens: int  # of a generated answer


REAL = Plan("cuda", 2, 6, 900, 128)
DRY = Plan("cpu", 1, 2, 12, 4)


class Clock:
    """Takes the time of steps, each waited for, from the end of the warm ones."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.began, self.seconds = plan, 0.0, 0.0

    def ended(self, step: int) -> None:
        if step in (self.plan.warm, self.plan.steps):
            if self.plan.device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            if step == self.plan.warm:
                self.began = now
            else:
                self.seconds = now - self.began


def memory(device: str) -> dict[str, float]:
    """The most that was allocated and reserved, in GiB; on the CPU what the process held."""
    if device == "cuda":
        most = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return {"allocated_gib": most[0] / 2**30, "reserved_gib": most[1] / 2**30}
    return {"resident_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def products(device: str) -> dict[str, Any]:
    """The machine's own speed: products of square bf16 matrices, in TFLOP/s, the best of three."""
    size = SIZES[device]
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(4):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - start) / 1e12)
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"device": name, "bf16_tflops": best, "torch": torch.__version__}
