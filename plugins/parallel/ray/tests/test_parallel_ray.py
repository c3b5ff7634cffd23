"""Processes on a Ray cluster: found together, heard, ended together; two of them train as one with twice the batch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tunesmith.errors import TunesmithError
from tunesmith.keys import Key
from tunesmith.traits import OptimizerTraits, StageTraits
from tunesmith.validate import structured
from tunesmith_library_testing import ParallelSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.signalled import passes_on_once
from tunesmith_parallel_ray import Ray
from tunesmith_parallel_ray.launching import counts_of, environment_of, stands_for
from tunesmith_parallel_ray.placing import in_order
from tunesmith_parallel_ray.process import Where


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
class TestRay(ParallelSuite):
    plugin = Ray
    options: ClassVar = {"processes": 2}


def launch(program: str, *arguments: object, **options: Any) -> int:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return Ray(**{"processes": 2, **options}).launch(command)


# ---- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key", "severity"),
    [
        ({"processes": 2}, None, None),
        ({}, None, None),
        ({"processes": 8, "min_processes": 4}, None, None),
        ({"processes": 8, "min_processes": 3}, "parallel.min_processes", "error"),
        ({"min_processes": 3}, "parallel.processes", "error"),
        ({"address": "ray://head:10001"}, "parallel.address", "error"),
        ({"resources": {"CPU": 1, "GPU": 2}}, "parallel.resources", "error"),
        ({"resources": {"CPU": 4, "GPU": 1}}, None, None),
        ({"resources": {"GPU": 1}}, "parallel.resources", "warning"),
        ({"processes": 4, "min_processes": 2, "placement": "STRICT_SPREAD"}, "parallel.placement", "warning"),
        ({"sharding": "fspd"}, "parallel.sharding", "error"),
        ({"sharding_options": {"a": 1}}, "parallel.sharding_options", "error"),
    ],
)
def test_what_ray_cannot_do(options: dict[str, Any], key: str | None, severity: str | None) -> None:
    plugin = Ray(**options)
    problems = plugin.check(StubPlan({"parallel": {"ray": plugin}}))
    found = [(str(problem.key), problem.severity) for problem in problems]
    assert found == ([(key, severity)] if key else [])


@pytest.mark.parametrize(("processes", "refused"), [(None, True), (1, False)])
def test_ray_with_an_optimizer_of_one_process(processes: int | None, refused: bool) -> None:
    plugin, mine = Ray(processes=processes), SimpleNamespace(traits=OptimizerTraits(one_process=True))
    problems = plugin.check(StubPlan({"parallel": {"ray": plugin}, "optimizer": {"mine": mine}}))
    assert [problem.key for problem in problems] == (["parallel.processes"] if refused else [])


def test_a_loop_that_draws_answers_keeps_its_processes() -> None:
    plugin, mine = Ray(processes=4, min_processes=2), SimpleNamespace(traits=StageTraits(generates=True))
    problems = plugin.check(StubPlan({"parallel": {"ray": plugin}, "stage": {"mine": mine}}))
    assert [problem.key for problem in problems] == ["parallel.min_processes"]


def test_resources_have_a_range() -> None:
    _, problems = structured(Ray, {"resources": {"CPU": 0}}, Key("parallel"), "parallel=ray")
    assert [str(problem.key) for problem in problems] == ["parallel.resources.CPU"]


def test_ray_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys, tunesmith_parallel_ray.checking as c; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("processes", "fewest", "expected"), [(8, None, [8]), (8, 1, [8, 4, 2, 1]), (6, 2, [6, 3, 2]), (4, 4, [4])]
)
def test_fewer_processes_stand_for_all(processes: int, fewest: int | None, expected: list[int]) -> None:
    """Each stands for as many as every other, so that a step has the examples of all."""
    assert counts_of(Ray(processes=processes, min_processes=fewest)) == expected
    for count in expected[1:]:
        assert int(stands_for(count, processes)["TUNESMITH_STANDS_FOR"]) * count == processes
    assert stands_for(processes, processes) == {}


def test_variables_that_go_to_a_cluster(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Those of torch and NCCL, no secrets, and none that say who a process is; their values are not told."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    here = {
        "NCCL_DEBUG": "loud",
        "HF_TOKEN": "hf_secret",
        "HF_HOME": "/hf",
        "CUDA_VISIBLE_DEVICES": "3",
        "EDITOR": "ed",
    }
    for name, value in {**here, "MASTER_PORT": "1", "MY_KEY": "k3y"}.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO"):
        assert environment_of([]) == {"NCCL_DEBUG": "loud", "HF_HOME": "/hf"}
        assert environment_of(["HF_TOKEN"]) == {"NCCL_DEBUG": "loud", "HF_HOME": "/hf", "HF_TOKEN": "hf_secret"}
    assert "HF_HOME, HF_TOKEN, NCCL_DEBUG" in caplog.text
    assert "secret" not in caplog.text and "loud" not in caplog.text
    with pytest.raises(TunesmithError, match="NOWHERE is not set"):
        environment_of(["NOWHERE"])


def test_neighbours_are_on_one_machine() -> None:
    """Ranks follow machines, and every process of a machine knows the devices of all of them in its order."""
    places = [("a", "3"), ("b", "0"), ("a", "1"), ("b", "2"), ("a", "0")]
    wheres = [Where(m, m, f"10.0.0.{m}", 8, (device,), ("CUDA_VISIBLE_DEVICES",)) for m, device in places]
    found = in_order(list("vwxyz"), wheres)
    assert [(one.actor, one.rank, one.local_rank, one.local_count) for one in found] == [
        ("v", 0, 0, 3),
        ("x", 1, 1, 3),
        ("z", 2, 2, 3),
        ("w", 3, 0, 2),
        ("y", 4, 1, 2),
    ]
    for one in found:
        assert one.devices[one.local_rank] == one.where.devices[0]


# ---- what is heard, and how it ends ----------------------------------------------------------------------------------


_SHOWS = "import os, pathlib, sys; pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(dict(os.environ)))"


@pytest.mark.slow
def test_ray_lets_only_the_first_be_heard(cluster: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As it comes, in the folder of the command; a configuration that the machine lacks is brought to it."""
    program = """
import os, pathlib, sys, time
print("out", os.environ["RANK"], os.getcwd(), flush=True)
print("err", os.environ["RANK"], file=sys.stderr)
"""
    assert launch(program) == 0
    assert capfd.readouterr() == (f"out 0 {os.getcwd()}\n", "err 0\n")


@pytest.mark.slow
def test_of_one_that_ray_lost_the_machine_is_told(
    cluster: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Its actor is killed, and with it the command that it started; then the others."""
    program = """
import os, pathlib, signal, sys, time
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(str(os.getpid()))
if os.environ["RANK"] == "1":
    while not pathlib.Path(sys.argv[1], "0").exists():
        time.sleep(0.01)
    os.kill(os.getppid(), signal.SIGKILL)
time.sleep(300)
"""
    assert launch(program, tmp_path) == 137
    (message,) = caplog.messages
    assert re.match(r"rank 1 on \S+ was killed by SIGKILL .*, so that the others were ended; .*\nRay lost it", message)
    for rank in "01":
        assert_ends(int((tmp_path / rank).read_text()))


def assert_ends(process: int) -> None:
    deadline = time.monotonic() + 20
    while runs(process):
        assert time.monotonic() < deadline, f"process {process} is still there"
        time.sleep(0.05)


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_failures_on_ray(cluster: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The end of what a failed process said is told with its rank; a mistake that the first says too is said once; and
    what fails is begun again as often as it was asked for."""
    fails = "import os, time\nif os.environ['RANK'] == '1': raise ValueError('a bad day')\ntime.sleep(300)"
    assert launch(fails) == 1
    (message,) = caplog.messages
    assert re.match(r"rank 1 on \S+ failed with exit code 1, so that the others were ended; the end of what", message)
    assert message.endswith("ValueError: a bad day")
    caplog.clear()
    assert launch("import os, sys, time; time.sleep(0 if os.environ['RANK'] == '1' else 0.5); sys.exit(2)") == 2
    assert caplog.messages == []
    counts = """
import os, pathlib, sys
if os.environ["RANK"] == "0":
    with open(sys.argv[1], "a") as file:
        file.write("x")
    sys.exit(len(open(sys.argv[1]).read()) < 3)
"""
    assert launch(counts, tmp_path / "attempts", restarts=1) == 1
    assert "restart 1 of 1, from its beginning, for rank 0 on" in caplog.text
    assert launch(counts, tmp_path / "attempts", restarts=5) == 0
    assert (tmp_path / "attempts").read_text() == "xxx"


@pytest.mark.slow
def test_room_on_ray(cluster: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What has no room is told with what there is; where it may, a run takes fewer, which stand for all."""
    with pytest.raises(TunesmithError, match=r"9 processes with 1 berth each, placed PACK, have no room") as raised:
        launch(_SHOWS, tmp_path, processes=9, resources={"berth": 1}, wait=2)
    assert "free: 4 CPU, 0 GPU" in str(raised.value)
    with caplog.at_level("INFO"):
        options = {"processes": 8, "min_processes": 2, "resources": {"berth": 2}}
        assert launch(_SHOWS, tmp_path, **options) == 0
    seen = [eval((tmp_path / rank).read_text()) for rank in "01"]
    assert [of["TUNESMITH_STANDS_FOR"] for of in seen] == ["4", "4"]
    assert [of["WORLD_SIZE"] for of in seen] == ["2", "2"]
    assert "processes: 2 (the cluster has no room for 8; each accumulates more)" in caplog.messages


@pytest.mark.slow
def test_ray_passes_a_signal_on_once(cluster: str, tmp_path: Path) -> None:
    passes_on_once(launch, tmp_path)
