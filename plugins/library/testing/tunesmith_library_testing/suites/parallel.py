"""What every `parallel` plugin keeps to."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.training import gradients, optimizer_states

from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.suites.plugin import PluginSuite

_WRITES = """
import json, os, pathlib, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
seen = {name: os.environ[name] for name in names}
pathlib.Path(sys.argv[1], f"rank-{seen['RANK']}").write_text(json.dumps([seen, sys.argv[2:]]))
"""

_ADDS = """
import pathlib, sys
import torch, torch.distributed as distributed
distributed.init_process_group("gloo")
value = torch.tensor(float(distributed.get_rank() + 1))
distributed.all_reduce(value)
pathlib.Path(sys.argv[1], f"sum-{distributed.get_rank()}").write_text(str(value.item()))
distributed.destroy_process_group()
"""

_FAILS = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit("out of luck")
time.sleep(300)
"""


class ParallelSuite(PluginSuite):
    """The tests of a `parallel` plugin, whose `options` start two processes on this machine's CPU."""

    kind = "parallel"

    def launch(self, program: str, *arguments: object) -> int:
        """What the hook returns for a Python program."""
        command = [sys.executable, "-c", program, *map(str, arguments)]
        code: int = self.manager().hook.launch(command=command)
        return code

    def test_starts_the_command_in_every_process(self, tmp_path: Path) -> None:
        """Each knows its rank, the number of all, and where they find together; the arguments are passed on."""
        assert self.launch(_WRITES, tmp_path, "a b", "x={y: 1}") == 0
        seen: dict[str, Any] = {file.name: json.loads(file.read_text()) for file in tmp_path.iterdir()}
        assert sorted(seen) == ["rank-0", "rank-1"]
        environments = [seen[name][0] for name in sorted(seen)]
        assert [(of["RANK"], of["LOCAL_RANK"], of["WORLD_SIZE"]) for of in environments] == [
            ("0", "0", "2"),
            ("1", "1", "2"),
        ]
        assert len({(of["MASTER_ADDR"], of["MASTER_PORT"]) for of in environments}) == 1
        assert all(arguments == ["a b", "x={y: 1}"] for _, arguments in seen.values())

    def test_processes_find_together(self, tmp_path: Path) -> None:
        """torch.distributed reads the environment, and the processes add their numbers."""
        assert self.launch(_ADDS, tmp_path) == 0
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"sum-0": "3.0", "sum-1": "3.0"}

    def test_one_that_fails_ends_the_others(self) -> None:
        """Within seconds, with its exit code."""
        start = time.monotonic()
        assert self.launch(_FAILS) == 1
        assert time.monotonic() - start < 60

    def test_estimates_a_process(self) -> None:
        """Both are counted, what they send each other is told, and together they have no less than one alone."""
        if "estimate" not in self.hooks():
            return
        weights = tuple(Weight(f"model.layers.{n}.mlp.up_proj.weight", (64, 64), "linear", 32, True) for n in range(2))
        alone = Estimate("fp32", weights, hidden_size=64, sequences=1, length=8, machine=Machine("", "cuda", 2))
        alone = optimizer_states(gradients(alone, accumulates=False), 2)
        (found,) = self.manager().hook.estimate(estimate=alone, plan=StubPlan({self.kind: {"this": self.make()}}))
        assert found.processes == 2
        assert sum(work.sent for work in found.work.values()) > 0
        assert 2 * sum(found.bytes("step").values()) >= sum(alone.bytes("step").values())

    def test_the_environment_stays_as_it_is(self, tmp_path: Path) -> None:
        """The process that starts the others is none of them."""
        before = dict(os.environ)
        self.launch(_WRITES, tmp_path)
        assert dict(os.environ) == before
