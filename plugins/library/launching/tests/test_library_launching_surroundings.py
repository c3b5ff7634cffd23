"""What SLURM, Kubernetes and MPI say in the environment, and what is started then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tunesmith.errors import TunesmithError
from tunesmith_library_launching import devices, options
from tunesmith_library_launching.devices import visible_gpus
from tunesmith_library_launching.hostlists import hosts
from tunesmith_library_launching.options import Processes
from tunesmith_library_launching.surroundings import place
from tunesmith_library_launching.workers import Group
from tunesmith_library_testing.parts import StubPlan


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu1", ["gpu1"]),
        ("gpu[001-003,007],login", ["gpu001", "gpu002", "gpu003", "gpu007", "login"]),
        ("rack[1-2]n[09-10]x", ["rack1n09x", "rack1n10x", "rack2n09x", "rack2n10x"]),
        ("a-1.example.org,b[8-10]", ["a-1.example.org", "b8", "b9", "b10"]),
        ("", []),
    ],
)
def test_lists_of_machines(text: str, names: list[str]) -> None:
    assert hosts(text) == names


SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_NNODES": "2",
    "SLURM_JOB_NODELIST": "gpu[05-06]",
    "SLURM_STEP_NODELIST": "gpu[05-06]",
    "SLURM_STEP_NUM_NODES": "2",
}
PROCESSES = {
    **SLURM,
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_PROCID": "6",
    "SLURM_LOCALID": "2",
    "SLURM_NODEID": "1",
}
MACHINES = {
    **SLURM,
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
}
KUBERNETES = {"PET_NNODES": "3", "PET_NODE_RANK": "2", "PET_MASTER_ADDR": "job-0.job", "PET_MASTER_PORT": "23456"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "2000",
}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        (PROCESSES, None, Group(1, 8, 6, "gpu05:PORT", 6, 8, 2, 4)),
        (MACHINES, 4, Group(4, 8, 4, "gpu05:PORT", 1, 2)),
        (MACHINES, None, Group(1, 2, 1, "gpu05:PORT", 1, 2)),
        ({**KUBERNETES, "PET_NPROC_PER_NODE": "8"}, None, Group(8, 24, 16, "job-0.job:23456", 2, 3)),
        ({**KUBERNETES, "PET_NPROC_PER_NODE": "auto"}, 2, Group(2, 6, 4, "job-0.job:23456", 2, 3)),
        (OPEN_MPI, None, Group(1, 4, 3, "node1:2000", 3, 4, 1, 2)),
        (HYDRA, None, Group(1, 4, 1, "127.0.0.1:PORT", 1, 4, 1, 4)),
    ],
)
def test_what_is_started(
    environment: dict[str, str], processes: int | None, expected: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process where each has a task of its own, all of the machine's where a machine has one."""
    only(monkeypatch, environment)
    monkeypatch.setattr(options, "visible_gpus", lambda: 0)
    plugin = Processes(processes=processes)
    found = plugin.group()
    master = str(expected.master).replace("PORT", str(found.master).rpartition(":")[2])
    assert found == Group(**{**vars(expected), "master": master})
    assert 12_000 <= int(str(found.master).rpartition(":")[2]) < 30_000 or "PORT" not in str(expected.master)
    known = processes or "PET_NPROC_PER_NODE" in environment or (found.count == 1 and environment is not MACHINES)
    assert plugin.total == (expected.world_size if known else None)
    assert plugin.process_problems(StubPlan({})) == []


def only(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Nothing else that a launcher could have said."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_tasks_of_a_job_meet_at_the_same_port_and_other_jobs_elsewhere() -> None:
    first, other = place({**PROCESSES, "SLURM_PROCID": "0", "SLURM_NODEID": "0"}), place(PROCESSES)
    another = place({**PROCESSES, "SLURM_JOB_ID": "4712"})
    assert first and other and another
    assert first.master == other.master != another.master


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**SLURM, "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # the batch script, outside srun
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "a"},  # srun --pty
        {**KUBERNETES, "LOCAL_RANK": "0", "WORLD_SIZE": "24"},  # torchrun has read it already
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
    ],
)
def test_where_nothing_is_to_be_recognised(environment: dict[str, str]) -> None:
    assert place(environment) is None


def test_a_task_with_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees that one alone, as number 0."""
    only(monkeypatch, PROCESSES)
    monkeypatch.setattr(options, "visible_gpus", lambda: 1)
    assert Processes().group().local_rank == 0
    monkeypatch.setattr(options, "visible_gpus", lambda: 4)
    assert Processes().group().local_rank == 2


@pytest.mark.parametrize(
    ("environment", "chosen", "key"),
    [
        (PROCESSES, {"processes": 2}, "parallel.processes"),
        ({**OPEN_MPI, "MASTER_ADDR": ""}, {}, "parallel.master"),
        ({**KUBERNETES, "PET_NNODES": "1:4"}, {}, "parallel"),
        ({**KUBERNETES, "PET_NODE_RANK": "x"}, {}, "parallel"),
        (PROCESSES, {"nodes": 2, "node_rank": 1, "master": "gpu05:1", "processes": 4}, None),
    ],
)
def test_what_does_not_fit(
    environment: dict[str, str], chosen: dict[str, Any], key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the options say of machines counts before the environment."""
    only(monkeypatch, environment)
    problems = Processes(**chosen).process_problems(StubPlan({}))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize(
    ("chosen", "gpus"),
    [(None, 4), ("", 0), ("0,2", 2), ("1,-1,2", 1), ("0,1,2,3,4,5", 4), ("GPU-8932f937,MIG-1", 2), ("-1", 0)],
)
def test_gpus_that_may_be_used(chosen: str | None, gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus(tmp_path) == gpus
    assert devices.visible_gpus(tmp_path / "none") == 0


@pytest.mark.parametrize(("trainer", "refused"), [({}, True), ({"trainer.use_cpu": True}, False)])
def test_more_processes_than_gpus(trainer: dict[str, Any], refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {})
    monkeypatch.setattr(options, "visible_gpus", lambda: 2)
    plan = StubPlan({}, values=trainer)
    problems = Processes(processes=4).process_problems(plan)
    assert [problem.message for problem in problems] == (
        ["4 processes were asked for, and this machine has 2 GPUs that they may use."] if refused else []
    )
    assert Processes(processes=2).process_problems(plan) == []


def test_a_batch_script_without_srun(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    only(monkeypatch, SLURM)
    assert Processes(processes=2).group().world_size == 2
    assert caplog.messages == ["SLURM gave 2 machines, and this command runs on one: start it with srun"]


def test_an_environment_that_contradicts_itself() -> None:
    with pytest.raises(TunesmithError, match="is a range"):
        place({**KUBERNETES, "PET_NNODES": "2:3"})


def test_a_process_that_was_started_is_refused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Kubernetes the launcher is told the number by a variable, and the process that it starts is not."""
    on_cpu, told = StubPlan({}, values={"trainer.use_cpu": True}), {**KUBERNETES, "PET_NPROC_PER_NODE": "2"}
    only(monkeypatch, told)
    assert Processes().process_problems(on_cpu) == [] and Processes().total == 6
    only(monkeypatch, {**told, "WORLD_SIZE": "6", "LOCAL_RANK": "1", "MASTER_ADDR": "job-0", "MASTER_PORT": "1"})
    assert Processes().process_problems(on_cpu) == [] and Processes().total == 6
    assert Processes(nodes=3, node_rank=2).process_problems(on_cpu) == [], "torchrun knows the first machine"
    only(monkeypatch, {})
    monkeypatch.delenv("PET_NNODES")
    assert [problem.key for problem in Processes().process_problems(on_cpu)] == ["parallel.processes"]


def test_a_plugin_that_another_one_starts_is_asked_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {})
    monkeypatch.setattr(options, "visible_gpus", lambda: 1)
    spreads = Processes(processes=16)
    assert spreads.process_problems(StubPlan({"parallel": {"ray": None}})) == []
    assert len(spreads.process_problems(StubPlan({"parallel": {"fsdp": spreads}}))) == 1


@pytest.mark.parametrize(
    ("master", "fits"),
    [("a:29500", True), ("[fe80::1]:1", True), ("a", False), (":29500", False), ("a:99999", False), ("a:0", False)],
)
def test_an_address_has_a_host_and_a_port(master: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {})
    problems = Processes(nodes=2, master=master).process_problems(StubPlan({}))
    assert [problem.key for problem in problems] == ([] if fits else ["parallel.master"])


@pytest.mark.parametrize(
    ("told", "processes", "key"),
    [
        ({"RANK": "1", "LOCAL_WORLD_SIZE": "2"}, 2, None),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, 2, None),
        ({"RANK": "0", "LOCAL_WORLD_SIZE": "2"}, 4, "parallel.processes"),
        ({"RANK": "5"}, None, "parallel"),
        ({"RANK": "0", "MASTER_PORT": None}, None, "parallel"),
        ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": None}, None, None),
    ],
)
def test_what_a_launcher_told_has_to_fit(
    told: dict[str, str | None], processes: int | None, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is none of them would wait for the others in vain."""
    whole = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1", **told}
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    only(monkeypatch, {name: value for name, value in whole.items() if value is not None})
    problems = Processes(processes=processes).process_problems(StubPlan({}))
    assert [problem.key for problem in problems] == ([key] if key else [])
