"""Two processes on Ray train as one with twice the batch, also when one of them is killed meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tunesmith
import yaml
from tunesmith_library_testing.parts import logged
from tunesmith_parallel_ray.launching import stands_for

_ANSWERS = {"stage": "sft", "rows": "sft"}
_PAIRS = {"stage": "dpo", "rows": "dpo"}


def config_of(tiny_llama: Path, folder: Path, name: str, of: dict[str, Any], **trainer: Any) -> dict[str, Any]:
    """A run of four steps over answers of very different lengths, so that processes count different tokens."""
    rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times. " * (1 + n % 5)} for n in range(32)]
    if of["rows"] == "dpo":
        rows = [{**row, "chosen": row.pop("output"), "rejected": f"No {n}."} for n, row in enumerate(rows)]
    file = folder / f"{of['rows']}.json"
    file.write_text(json.dumps(rows))
    return {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [{"path": str(file), "format": "alpaca"}], "cache": False},
        "stage": of["stage"],
        "adapter": of["adapter"],
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / name),
        "trainer": {
            "max_steps": 4,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-3,
            "optim": "adamw_torch",
            "logging_steps": 1,
            "save_strategy": "no",
            "use_cpu": True,
            **trainer,
        },
    }


def weights_of(run: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = [run / name for name in ("model.safetensors", "adapter_model.safetensors") if (run / name).is_file()]
    return dict(load_file(file))


def assert_same_run(run: Path, other: Path) -> None:
    weights, others = weights_of(run), weights_of(other)
    assert weights.keys() == others.keys()
    assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < 2e-5
    assert logged(run) == pytest.approx(logged(other), rel=1e-5)


_KILLS = """
import os, pathlib, signal
from tunesmith import hookimpl, plugin
from tunesmith.types import StepEnded


@plugin
class Storm:
    '''Kills the second process behind the second step, once.'''

    mark: str = ""

    @hookimpl(wrapper=True)
    def compute_loss(self):
        mark = pathlib.Path(self.mark)
        if os.environ.get("RANK") == "1" and (mark.parent / "run" / "checkpoint-2" / "complete.json").exists():
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return (yield)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "of", [{**_ANSWERS, "adapter": "full"}, {**_ANSWERS, "adapter": "lora"}, {**_PAIRS, "adapter": "lora"}]
)
def test_two_processes_on_ray_train_as_one(
    cluster: str, tiny_llama: Path, tmp_path: Path, of: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The weights are the same to rounding, and so are the losses of each step; where a process is killed with -9, the
    run goes on from its checkpoint."""
    one = tunesmith.train(config_of(tiny_llama, tmp_path, "one", of, per_device_train_batch_size=4))
    config = config_of(tiny_llama, tmp_path, "run", of)
    killed = of["adapter"] == "full"
    if killed:
        (tmp_path / "storm.py").write_text(_KILLS)
        config["patch"] = {f"{tmp_path / 'storm.py'}:Storm": {"mark": str(tmp_path / "mark")}}
        config["trainer"] |= {"save_strategy": "steps", "save_steps": 2}
    two = tunesmith.train(config, {"parallel": "ray", "parallel.processes": 2, "parallel.restarts": 1})
    assert_same_run(two, one)
    assert (
        ("restart 1 of 1, from its last checkpoint, for rank 1 on" in caplog.text)
        == killed
        == (tmp_path / "mark").exists()
    )
    saved = yaml.safe_load((two / "run.yaml").read_text())
    assert saved["parallel"]["name"] == "ray", "the run is repeated as it was"


@pytest.mark.slow
def test_a_run_on_ray_whose_model_fsdp_spreads(cluster: str, tiny_llama: Path, tmp_path: Path) -> None:
    of = {**_ANSWERS, "adapter": "full"}
    one = tunesmith.train(config_of(tiny_llama, tmp_path, "one", of, per_device_train_batch_size=4))
    words = {"parallel": "ray", "parallel.processes": 2, "parallel.sharding": "fsdp"}
    assert_same_run(tunesmith.train(config_of(tiny_llama, tmp_path, "two", of), words), one)


def processes_of_ray() -> set[int]:
    """Those of all clusters on this machine."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                said = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"raylet" in said or b"gcs_server" in said or said.startswith(b"ray::"):
                found.add(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_an_interrupted_run_on_a_cluster_of_its_own(tiny_llama: Path, tmp_path: Path) -> None:
    """Ctrl-C of a terminal, which all processes in it hear: the run saves once, and leaves no process, neither of its
    own nor of Ray; a single process goes on."""
    before = processes_of_ray()
    config = config_of(tiny_llama, tmp_path, "run", {**_ANSWERS, "adapter": "lora"}, max_steps=500, learning_rate=1e-5)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    words = ["train", str(tmp_path / "c.yaml"), "parallel=ray", "parallel.processes=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith", *words],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 75, told
    assert told.count("interrupted. continue with: tunesmith train") == 1
    assert "Traceback" not in told and "done:" not in said
    deadline = time.monotonic() + 20
    while processes_of_ray() - before:
        assert time.monotonic() < deadline, "Ray is still there"
        time.sleep(0.1)
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    step = int(re.sub(r"\D", "", checkpoint.name))
    resumed = {"resume": True, "trainer.max_steps": step + 2, "parallel": None}
    assert tunesmith.train(tmp_path / "run", resumed) == tmp_path / "run"
    assert (tmp_path / "run" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_process_that_stands_for_two(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run goes on with where there is no room for both: a step has the examples of both."""
    of = {**_ANSWERS, "adapter": "lora"}
    two = tunesmith.train(config_of(tiny_llama, tmp_path, "two", of, per_device_train_batch_size=4))
    for name, value in stands_for(1, 2).items():
        monkeypatch.setenv(name, value)
    one = tunesmith.train(config_of(tiny_llama, tmp_path, "one", of))
    assert_same_run(one, two)
    saved = yaml.safe_load((one / "run.yaml").read_text())
    assert saved["trainer"]["gradient_accumulation_steps"] == 1, "the run is repeated as it was asked for"
