"""Processes that each have cores of their own: `parallel=pinned.py:Pinned parallel.processes=2`."""

import os
import shutil
from collections.abc import Sequence

from tunesmith import hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.traits import ParallelTraits
from tunesmith.types import Problem
from tunesmith_library_launching.options import Processes

PIN = 'cores=$(($1 * LOCAL_RANK))-$(($1 * LOCAL_RANK + $1 - 1)); shift; exec taskset --cpu-list "$cores" "$@"'


@plugin
class Pinned(Processes):
    """Data parallel training on the CPUs of Linux, a like share of the cores for each process."""

    @property
    def traits(self) -> ParallelTraits:
        return ParallelTraits(processes=self.total)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if shutil.which("taskset") is None:
            advice = "install util-linux, or take parallel=ddp"
            return [Problem("parallel", "cores are given by taskset, and there is none.", advice)]
        return self.process_problems(plan)

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        here = self.group().count
        each = max(1, (os.cpu_count() or 1) // here)
        return self.start(["sh", "-c", PIN, "sh", str(each), *command])
