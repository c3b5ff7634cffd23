"""Processes are started, hear signals once, and end together; two of them train as one with twice the batch."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import tunesmith
import yaml
from tunesmith.catalog import Catalog
from tunesmith.errors import TunesmithError
from tunesmith.keys import Key
from tunesmith.traits import OptimizerTraits
from tunesmith.validate import structured
from tunesmith_library_configuration.overrides import read_overrides
from tunesmith_library_launching import overseeing
from tunesmith_library_testing import ParallelSuite
from tunesmith_library_testing.parts import StubPlan, logged
from tunesmith_library_testing.signalled import passes_on_once, wait_for
from tunesmith_parallel_ddp import Ddp


class TestDdp(ParallelSuite):
    plugin = Ddp
    options: ClassVar = {"processes": 2}


pytestmark = pytest.mark.usefixtures("no_launcher")


def launch(program: str, *arguments: object, **options: Any) -> int:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return Ddp(**{"processes": 2, **options}).launch(command)


# ---- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"nodes": 2}, "parallel.master"),
        ({"nodes": 2, "node_rank": 2, "master": "host:1"}, "parallel.node_rank"),
        ({"master": "host"}, "parallel.master"),
        ({"nodes": 2, "node_rank": 1, "master": "host:29500"}, None),
        ({}, None),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], key: str | None) -> None:
    plugin = Ddp(**options)
    problems = plugin.check(StubPlan({"parallel": {"ddp": plugin}}))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize(("processes", "refused"), [(None, True), (1, False)])
def test_an_optimizer_of_one_process(processes: int | None, refused: bool) -> None:
    """Where the number is known, the optimizer itself asks for it."""
    plugin, mine = Ddp(processes=processes), SimpleNamespace(traits=OptimizerTraits(one_process=True))
    problems = plugin.check(StubPlan({"parallel": {"ddp": plugin}, "optimizer": {"mine": mine}}))
    assert [problem.key for problem in problems] == (["parallel.processes"] if refused else [])


def test_one_per_gpu_on_a_cpu(tiny_llama: Path, tmp_path: Path) -> None:
    config = {**config_of(tiny_llama, tmp_path, "run"), "parallel": "ddp"}
    _, problems = tunesmith.plan(config)
    assert [(str(problem.key), problem.advice) for problem in problems] == [
        ("parallel.processes", "write parallel.processes=2")
    ]


def test_no_process_is_too_few() -> None:
    _, problems = structured(Ddp, {"processes": 0}, Key("parallel"), "parallel=ddp")
    assert [problem.message for problem in problems] == ["parallel.processes cannot be 0."]


def test_one_per_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    with pytest.raises(TunesmithError, match=r"this machine has none\.\nwrite parallel\.processes=2"):
        Ddp().launch(["true"])
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    assert Ddp().launch([sys.executable, "-c", "import os, sys; sys.exit(os.environ['WORLD_SIZE'] != '3')"]) == 0


_SHOWS = "import os, pathlib, sys; pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(dict(os.environ)))"


def test_cores_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    launch(_SHOWS, tmp_path, processes=1)
    cores = len(os.sched_getaffinity(0))
    assert eval((tmp_path / "0").read_text())["OMP_NUM_THREADS"] == str(cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    launch(_SHOWS, tmp_path)
    assert eval((tmp_path / "1").read_text())["OMP_NUM_THREADS"] == "7"


# ---- what is heard, and how it ends ----------------------------------------------------------------------------------


def test_only_the_first_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import os, sys; print('out', os.environ['RANK']); print('err', os.environ['RANK'], file=sys.stderr)"
    assert launch(program) == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_of_one_that_fails_the_end_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    program = "import os, time\nif os.environ['RANK'] == '1': raise ValueError('a bad day')\ntime.sleep(300)"
    start = time.monotonic()
    assert launch(program) == 1
    assert time.monotonic() - start < 30
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    heading = r"rank 1 on \S+ failed with exit code 1, so that the others were ended; the end of what it said:"
    assert re.match(heading, record.message)
    assert record.message.endswith("ValueError: a bad day")


def test_of_the_first_the_user_heard_it_already(caplog: pytest.LogCaptureFixture) -> None:
    program = "import os, time\nif os.environ['RANK'] == '0': raise ValueError('a bad day')\ntime.sleep(300)"
    assert launch(program) == 1
    (told,) = caplog.messages
    assert re.fullmatch(r"rank 0 on \S+ failed with exit code 1, so that the others were ended", told)


def test_a_mistake_that_the_first_says_too_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overseeing, "_SAYS_IT_TOO", 60.0)  # a busy machine may take long to start a process
    program = "import os, sys, time; time.sleep(0 if os.environ['RANK'] == '1' else 0.5); sys.exit(2)"
    assert launch(program) == 2
    assert caplog.messages == []


def test_one_that_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    program = "import os, signal, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\ntime.sleep(300)"
    assert launch(program) == 137
    (told,) = caplog.messages
    assert re.match(r"rank 1 on \S+ was killed by SIGKILL .*, so that the others were ended$", told)


def test_children_of_the_processes_are_ended_too(tmp_path: Path) -> None:
    program = """
import os, pathlib, subprocess, sys, time
if os.environ["RANK"] == "0":
    child = subprocess.Popen(["sleep", "300"])
    pathlib.Path(sys.argv[1], "draft").write_text(str(child.pid))
    os.rename(pathlib.Path(sys.argv[1], "draft"), pathlib.Path(sys.argv[1], "child"))
while not pathlib.Path(sys.argv[1], "child").exists():
    time.sleep(0.01)
if os.environ["RANK"] == "1":
    sys.exit(3)
time.sleep(300)
"""
    assert launch(program, tmp_path) == 3
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_interrupted_run_waits_for_the_one_that_saves(tmp_path: Path) -> None:
    """75 of one process is no failure: another may still be writing the checkpoint."""
    program = """
import os, pathlib, sys, time
if os.environ["RANK"] == "0":
    time.sleep(1)
    pathlib.Path(sys.argv[1], "saved").touch()
sys.exit(75)
"""
    assert launch(program, tmp_path) == 75
    assert (tmp_path / "saved").exists()


_LAUNCHES = """
import sys
from tunesmith_parallel_ddp import Ddp
program = (
    "import os, pathlib, sys, time; draft = pathlib.Path(sys.argv[1], 'draft-' + os.environ['RANK']);"
    "draft.write_text(str(os.getpid())); draft.rename(draft.with_name(os.environ['RANK'])); time.sleep(300)"
)
Ddp(processes=2).launch([sys.executable, "-c", program, sys.argv[1]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed parent is not noticed")
def test_none_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _LAUNCHES, str(tmp_path)])
    try:
        wait_for(tmp_path / "0", tmp_path / "1")
    finally:
        process.kill()
        process.wait()
    workers = [int((tmp_path / str(rank)).read_text()) for rank in (0, 1)]
    deadline = time.monotonic() + 10
    while any(map(_runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_runs, workers))


def test_a_signal_is_passed_on_once(tmp_path: Path) -> None:
    """Ctrl-C of a terminal goes to a whole group of processes; the workers are in none of it."""
    passes_on_once(launch, tmp_path)


# ---- training --------------------------------------------------------------------------------------------------------


def config_of(tiny_llama: Path, folder: Path, name: str, **trainer: Any) -> dict[str, Any]:
    """A run of three steps over answers of very different lengths, so that processes count different tokens."""
    rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times. " * (1 + n % 5)} for n in range(24)]
    (folder / "train.json").write_text(json.dumps(rows))
    return {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "cache": False},
        "stage": "sft",
        "adapter": "full",
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / name),
        "trainer": {
            "max_steps": 3,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-3,
            "optim": "adamw_torch",
            "logging_steps": 1,
            "save_strategy": "no",
            "use_cpu": True,
            **trainer,
        },
    }


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a function, and as a command; the weights are the same to rounding, and so are the losses of each step."""
    from safetensors.torch import load_file

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = tunesmith.train(config_of(tiny_llama, tmp_path, "one", per_device_train_batch_size=4))
    two = tunesmith.train(config_of(tiny_llama, tmp_path, "two"), {"parallel": "ddp", "parallel.processes": 2})
    assert two == tmp_path / "two"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config_of(tiny_llama, tmp_path, "command")))
    done = run_command(tmp_path / "c.yaml").communicate(timeout=300)
    weights = load_file(one / "model.safetensors")
    for run in (two, tmp_path / "command"):
        others = load_file(run / "model.safetensors")
        assert weights.keys() == others.keys()
        assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < 2e-5
        assert logged(run) == pytest.approx(logged(one), rel=1e-5)
    assert done[0].count("done: ") == 1, "of several processes one says it"
    assert "Traceback" not in done[1]
    saved = yaml.safe_load((two / "run.yaml").read_text())
    assert saved["parallel"]["name"] == "ddp", "the run is repeated as it was"


def run_command(file: Path, *overrides: str) -> subprocess.Popen[str]:
    """`tunesmith train FILE parallel=ddp parallel.processes=2`."""
    words = ["train", str(file), "parallel=ddp", "parallel.processes=2", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tunesmith", *words]
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


_TROUBLE = """
import os, pathlib, signal, threading
from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled

@plugin
class Trouble:
    '''On one process: it is killed at its third batch, and at the fourth of the next start it comes no further.'''

    folder: str

    _batches: int = 0

    @hookimpl(wrapper=True)
    def compute_loss(self):
        self._batches += 1
        starts = pathlib.Path(self.folder, "started")
        if os.environ["RANK"] == "1" and self._batches == 3:
            if not starts.exists():
                starts.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # never comes to where the other waits
        return (yield)
"""


@pytest.mark.slow
def test_a_run_is_started_again_where_it_was_killed_and_ended_where_it_hangs(tiny_llama: Path, tmp_path: Path) -> None:
    """Each time with the rank, once; the second start goes on from the checkpoint; no process is left."""
    (tmp_path / "bad.py").write_text(_TROUBLE)
    config = config_of(tiny_llama, tmp_path, "run", max_steps=20, save_strategy="steps", save_steps=1)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**config, "patch": {"bad.py:Trouble": {"folder": str(tmp_path)}}}))
    process = run_command(tmp_path / "c.yaml", "parallel.restarts=1", "parallel.timeout=15")
    _, told = process.communicate(timeout=300)
    assert process.returncode == 1, told
    assert len(re.findall(r"rank 1 on \S+ was killed by SIGKILL", told)) == 2, "an error, and why it starts again"
    assert "restart 1 of 1, from its last checkpoint" in told
    assert "no process of the run has moved for 15 s (parallel.timeout); the others wait for rank 1" in told
    assert "threading.Event().wait()" in told and "in compute_loss" in told
    assert "Connection closed by peer" not in told and "Traceback" not in told
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [told["step"] for line in lines if "step" in (told := json.loads(line))]
    assert max(steps) == 4, "two steps of each start"


@pytest.mark.slow
def test_the_line_for_torchrun_does_the_same(tiny_llama: Path, tmp_path: Path) -> None:
    from tunesmith_library_launching.lines import launch_lines

    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config_of(tiny_llama, tmp_path, "run", max_steps=1)))
    words = [str(tmp_path / "c.yaml"), "parallel=ddp", "parallel.processes=2"]
    plan, problems = tunesmith.plan(words[0], words[1:])
    assert not problems
    line = shlex.split(launch_lines(plan, words)["torchrun"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").is_file() and done.stdout.count("done: ") == 1


@pytest.mark.slow
def test_an_interrupted_run_saves_and_goes_on(tiny_llama: Path, tmp_path: Path) -> None:
    """SIGINT to the command: both finish their step, one checkpoint is saved; resumed, the run comes to its end."""
    config = config_of(tiny_llama, tmp_path, "run", max_steps=500, learning_rate=1e-5)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    process = run_command(tmp_path / "c.yaml")
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 75, told
    assert told.count("interrupted. continue with: tunesmith train") == 1
    assert "Traceback" not in told and "done:" not in said
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    step = int(re.sub(r"\D", "", checkpoint.name))
    resumed = run_command(tmp_path / "run", "resume=true", f"trainer.max_steps={step + 2}")
    said, told = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, told
    assert f"done: {tmp_path / 'run'}" in said and (tmp_path / "run" / "model.safetensors").is_file()


def test_the_lines_of_other_launchers() -> None:
    """A path with a space stays one word; accelerate and deepspeed start no several processes on CPUs."""
    from tunesmith_library_launching.lines import launch_lines

    plugin = Ddp(processes=4, nodes=2, node_rank=1, master="10.0.0.1:29500")
    lines = launch_lines(StubPlan({"parallel": {"ddp": plugin}}), ["my run.yaml", "seed=1"])
    where = "--nnodes=2 --node-rank=1 --master-addr=10.0.0.1 --master-port=29500"
    assert lines["torchrun"] == f"torchrun --nproc-per-node=4 {where} -m tunesmith train 'my run.yaml' seed=1"
    assert "--num_machines=2 --machine_rank=1" in lines["accelerate"] and "--num_processes=8" in lines["accelerate"]
    assert lines["deepspeed"].startswith("deepspeed --hostfile=HOSTFILE --num_nodes=2 --num_gpus=4 --no_local_rank")
    cpu = StubPlan({"parallel": {"ddp": Ddp(processes=2)}}, values={"trainer.use_cpu": True})
    assert sorted(launch_lines(cpu, ["c.yaml"])) == ["ray", "torchrun"]
    assert launch_lines(StubPlan({}), ["c.yaml"]) == {}


def test_the_line_for_ray_is_the_same_run() -> None:
    """Options that Ray's plugin has are its own, the others go on to the plugin that it spreads by."""
    from tunesmith_library_launching.lines import launch_lines

    catalog = Catalog.discover()
    if "ray" not in catalog.classes("parallel"):
        pytest.skip("parallel=ray is not installed")
    words = ["c.yaml", "parallel=ddp", "parallel.nodes=2", "seed=1"]
    for options, expected in (
        ({"restarts": 3, "timeout": 99.0}, {"restarts": 3, "timeout": 99}),
        ({"sequence": "ring"}, {"sharding": "ddp", "sharding_options": {"sequence": "ring"}}),
    ):
        plugin = Ddp(processes=2, nodes=2, master="a:1", **options)
        plan = StubPlan({"parallel": {"ddp": plugin}}, catalog=catalog)
        _, there, *told = shlex.split(launch_lines(plan, words)["ray"])[6:]
        read = {str(each.key): each.value for each in read_overrides(told)}
        assert there == "c.yaml" and read.pop("seed") == 1 and read.pop("parallel") == "ray"
        assert read == {"parallel.processes": 4, **{f"parallel.{name}": value for name, value in expected.items()}}
        ray = catalog.classes("parallel")["ray"](processes=4, **expected)
        assert ray.traits.alike == plan.traits("parallel").alike


@pytest.mark.gpu
def test_a_process_on_a_gpu(tiny_llama: Path, tmp_path: Path) -> None:
    """Under NCCL, with an accelerator of its own."""
    config = config_of(tiny_llama, tmp_path, "run", use_cpu=False)
    run = tunesmith.train(config, {"parallel": "ddp", "parallel.processes": 1})
    assert (run / "model.safetensors").is_file()


def test_a_run_without_a_folder_is_not_started(tiny_llama: Path, tmp_path: Path) -> None:
    config = {**config_of(tiny_llama, tmp_path, "run"), "output_dir": None, "parallel": {"name": "ddp", "processes": 2}}
    with pytest.raises(TunesmithError, match="a run of several processes needs output_dir"):
        tunesmith.train(config)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"processes": 2}, 2), ({"processes": 2, "nodes": 3}, 6), ({"nodes": 3}, None), ({}, None)],
)
def test_others_may_ask_how_many_there_will_be(options: dict[str, Any], expected: int | None) -> None:
    assert StubPlan({"parallel": {"ddp": Ddp(**options)}}).processes == expected
