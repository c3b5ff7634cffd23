"""One training for `planner.py`, in a process of its own: what was predicted for it, and what it took by phase.

python planner_probe.py CASE SCRATCH STEPS allocated|resident|cuda

`allocated` counts what torch allocates on the CPU, by its profiler's events, and the weights that are mapped from a
file; `resident` what the process holds beyond what it held before the model was loaded (RSS); `cuda` what torch
allocates on the GPU, and what it reserves.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

from planner_cases import CASES
from tunesmith import hookimpl, plugin
from tunesmith.types import TrainingJob

Memory = dict[str, float]


class Resident:
    """What this process holds, at its highest in each phase, beyond what it held when it began."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        self.before, self.phase, self.most = self._status("VmRSS"), "load", {"load": 0.0}
        self._files = self._status("RssFile")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def enter(self, phase: str) -> None:
        self.note()
        self.phase = phase
        self.note()

    def note(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        held = pages * os.sysconf("SC_PAGE_SIZE") - self.before
        self.most[self.phase] = max(self.most.get(self.phase, 0.0), held)

    def end(self) -> Memory:
        self._ended.set()
        self._thread.join()
        files = self._status("RssFile") - self._files
        return {**self.most, "peak": self._status("VmHWM") - self.before, "before": self.before, "files": files}

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.note()

    @staticmethod
    def _status(name: str) -> float:
        found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
        return 1024.0 * int(found[1]) if found else 0.0


class Allocated:
    """What torch allocates on the CPU, by the events of its profiler."""

    def __init__(self) -> None:
        import torch

        kinds = [torch.profiler.ProfilerActivity.CPU]
        self._profile = torch.profiler.profile(activities=kinds, profile_memory=True)
        self._profile.start()
        self._model = 0.0

    def enter(self, phase: str) -> None:
        import torch

        with torch.profiler.record_function(f"phase:{phase}"):
            pass

    def begin(self, model: Any) -> None:
        """Take note of what the weights take: those mapped from a file, or made by other threads, were not seen."""
        storages = {}
        for tensor in (*model.parameters(), *model.buffers()):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        self._model = float(sum(storages.values()))

    def end(self) -> Memory:
        self._profile.stop()
        events = self._profile.profiler.kineto_results.events()
        phase, now, most = "load", 0.0, {"load": 0.0}
        for event in sorted(events, key=lambda each: each.start_ns()):
            if event.name() == "phase:start":
                now = max(now, self._model)
            if event.name().startswith("phase:"):
                phase = event.name().removeprefix("phase:")
            elif event.name() == "[memory]":
                now += event.nbytes()
            most[phase] = max(most.get(phase, 0.0), now)
        return {**most, "peak": max(most.values()), "model": self._model}


class OnGpu:
    """What torch allocates on the GPU."""

    def __init__(self) -> None:
        self.phase, self.most, self.reserved = "load", dict[str, float](), 0.0

    def enter(self, phase: str) -> None:
        import torch

        torch.cuda.synchronize()
        stats = torch.cuda.memory_stats()
        self.most[self.phase] = max(self.most.get(self.phase, 0.0), float(stats["allocated_bytes.all.peak"]))
        self.reserved = max(self.reserved, float(stats["reserved_bytes.all.peak"]))
        torch.cuda.reset_peak_memory_stats()
        self.phase = phase

    def end(self) -> Memory:
        import torch

        self.enter("end")
        free, total = torch.cuda.mem_get_info()
        context = total - free - torch.cuda.memory_reserved()
        used = self.reserved + context
        return {**self.most, "peak": max(self.most.values()), "used": used}


KINDS: dict[str, Callable[[], Any]] = {"allocated": Allocated, "resident": Resident, "cuda": OnGpu}


@plugin
class Probe:
    """Measures a run by phase."""

    additive: ClassVar[bool] = True  # it leaves the loss as it is, so that passes are merged as without it

    kind: str  # of KINDS
    file: str  # that is written

    _meter: Any = None
    _began: list[float] = []

    @hookimpl(wrapper=True, tryfirst=True)
    def load_model(self) -> Generator[None, Any, Any]:
        if self._meter is None:
            self._meter = KINDS[self.kind]()
        return (yield)

    @hookimpl(wrapper=True)
    def compute_loss(self) -> Generator[None, Any, Any]:
        self._meter.enter("forward")
        found = yield
        self._meter.enter("backward")
        return found

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        from torch.optim.optimizer import (
            register_optimizer_step_post_hook,
            register_optimizer_step_pre_hook,
        )

        if isinstance(self._meter, Allocated):
            self._meter.begin(job.model)
        self._meter.enter("start")
        before = register_optimizer_step_pre_hook(lambda *_: self._meter.enter("step"))
        after = register_optimizer_step_post_hook(lambda *_: (self._meter.enter("after"), self._note())[1])
        finished = yield
        before.remove()
        after.remove()
        found = {"memory": self._meter.end(), "steps": self._began}
        Path(self.file).write_text(json.dumps(found))
        return finished

    def _note(self) -> None:
        self._began.append(time.process_time())


def main(number: int, scratch: Path, steps: int, kind: str) -> None:
    import tunesmith
    from tunesmith_library_estimates.estimating import estimate
    from tunesmith_library_estimates.estimation import PHASES
    from tunesmith_library_estimates.own_memory import without_own_memory

    case, file = CASES[number], scratch / f"measured-{number}-{kind}.json"
    config = case.configuration(scratch, steps, "cuda" if kind == "cuda" else "cpu")
    made = estimate(config)
    predicted: dict[str, Any] = {phase: made.bytes(phase) for phase in PHASES}
    output = scratch / f"run-{number}-{kind}"
    patch = {f"{Path(__file__).resolve()}:Probe": {"kind": kind, "file": str(file)}}
    tunesmith.train({**config, "patch": patch, "output_dir": str(output)})
    told = json.loads(file.read_text())
    found = {
        "predicted": predicted,
        "peak": made.peak[1],
        "allocated": without_own_memory(made).peak[1],
        "parameters": made.parameters,
        "tokens": made.tokens,
        "unknown": made.unknown,
    }
    file.write_text(json.dumps({**found, **told}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
