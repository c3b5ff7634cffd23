"""Job files are what clusters read, do what is asked, and save and go on; they are run here with stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tunesmith
import yaml
from click.testing import CliRunner
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith_command_submit import Submit
from tunesmith_command_submit.checking import _seconds, outside, refuse_unknown_machines
from tunesmith_library_launching.devices import visible_gpus
from tunesmith_library_launching.surroundings import place
from tunesmith_library_testing import CommandSuite
from tunesmith_library_testing.parts import StubPlan


class TestSubmit(CommandSuite):
    plugin = Submit


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration in a folder with spaces in its name, which is the current one."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "my runs"
    folder.mkdir()
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "llama"}')
    (folder / "train.json").write_text(json.dumps([{"instruction": "Say a.", "output": "a"}]))
    (folder / "My run.yaml").write_text(
        "model: {path: ./model}\ntemplate: chatml\nadapter: full\ntracker: []\nstage: sft\n"
        "data: {train: [train.json]}\nparallel: ddp\noutput_dir: /data/my run\n"
    )
    monkeypatch.chdir(folder)
    return "My run.yaml"


def written(*words: str) -> str:
    """The text of the job file."""
    runner = CliRunner()
    result = runner.invoke(Submit().command(), [*words, "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def ran(folder: Path, script: str, shell: str = "bash", **environment: str) -> tuple[int, list[str]]:
    """The exit code of a script, and what its stand-ins were called with; `srun` and `tunesmith` end with CODE."""
    bin_folder, told = folder / "bin", folder / "told"
    bin_folder.mkdir(exist_ok=True)
    told.unlink(missing_ok=True)
    for name in ("srun", "tunesmith", "scontrol"):
        tool = bin_folder / name
        ends = "0" if name == "scontrol" else '"$CODE"'
        tool.write_text(f'#!/bin/sh\nprintf "%s|" {name} "$@" >> "$TOLD"\necho >> "$TOLD"\nexit {ends}\n')
        tool.chmod(0o755)
    own = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "TOLD": str(told), **environment}
    code = subprocess.run([shell, "-c", script], env=own, check=False, cwd=folder).returncode
    return code, told.read_text().splitlines()


def test_a_script_for_slurm(config: str, tmp_path: Path) -> None:
    asked = (
        "--nodes",
        "2",
        "--gpus-per-node",
        "4",
        "--time",
        "12:00:00",
        "--partition",
        "gpu",
        "--setup",
        "export A=1",
    )
    script = written(config, "seed=3", "--slurm", *asked)
    subprocess.run(["bash", "-n", "-c", script], check=True)
    options = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    expected = {"nodes=2", "ntasks-per-node=1", "gpus-per-node=4", "time=12:00:00", "partition=gpu", "requeue"}
    assert expected | {"job-name=my-run", "signal=TERM@180", "open-mode=append"} <= set(options)
    code, told = ran(tmp_path, script, CODE="0")
    (line,) = told
    assert code == 0
    name, *words = line.rstrip("|").split("|")
    assert name == "srun" and words[1:] == [
        "-m",
        "tunesmith",
        "train",
        str(Path(config).absolute()),
        "seed=3",
        "parallel.processes=4",
    ]


def test_a_job_that_was_interrupted_is_queued_again_and_goes_on(config: str, tmp_path: Path) -> None:
    run = tmp_path / "out of it"
    script = written(config, f"output_dir={run}", "--slurm")
    code, told = ran(tmp_path, script, CODE="75", SLURM_JOB_ID="12")
    assert code == 75 and told[1] == "scontrol|requeue|12|" and "resume=true" not in told[0]
    for begun in (False, True):  # a job may be started again before the run has its folder
        code, (line,) = ran(tmp_path, script, CODE="1", SLURM_RESTART_COUNT="1")
        assert code == 1 and line.endswith("|resume=true|overwrite=false|") is begun
        run.mkdir(exist_ok=True)
        (run / "run.yaml").touch()


def test_a_set_for_kubernetes(config: str, tmp_path: Path) -> None:
    asked = ("--image", "images/tunesmith:1", "--volume", "data:/data", "--secret", "hub-token")
    text = written(config, "seed=3", "--kubernetes", "--nodes", "2", "--gpus-per-node", "4", *asked)
    configuration, jobs = yaml.safe_load_all(text)
    read = yaml.safe_load(configuration["data"]["config.yaml"])
    assert (read["seed"], read["stage"]["name"] if isinstance(read["stage"], dict) else read["stage"]) == (3, "sft")
    assert (jobs["apiVersion"], jobs["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (node,) = jobs["spec"]["replicatedJobs"]
    spec = node["template"]["spec"]
    assert (spec["parallelism"], spec["completions"], spec["completionMode"]) == (2, 2, "Indexed")
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    assert container["envFrom"] == [{"secretRef": {"name": "hub-token"}}]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    found = place({**told_by(container, index="1")})
    assert found is not None and (found.machine, found.machines, found.processes) == (1, 2, 4)
    assert found.master == "my-run-node-0-0.my-run:29500"
    assert container["command"][:2] == ["sh", "-c"]
    code, (line,) = ran(tmp_path, container["command"][2], shell="sh", CODE="75", RESTART_ATTEMPT="1")
    assert code == 75 and line == "tunesmith|train|/etc/tunesmith/config.yaml|parallel.processes=4|"


def told_by(container: dict[str, Any], index: str) -> dict[str, str]:
    """A pod's environment, with what Kubernetes fills in."""
    return {entry["name"]: entry.get("value", index) for entry in container["env"]}


def test_secrets_are_not_written(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_notforfiles1234567890")
    asked = ("--kubernetes", "--image", "i", "--volume", "data:/data")
    assert "hf_notforfiles" not in written(config, *asked) + written(config, "--slurm")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "what kind of cluster"),
        (("--kubernetes",), "needs an image"),
        (("--kubernetes", "--image", "i"), "is in no volume"),
        (("--kubernetes", "--image", "i", "--volume", "data"), "is not CLAIM:PATH"),
        (("--slurm", "parallel=null", "--nodes", "2"), "the plan is for one process"),
        (("--slurm", "parallel.processes=2", "--gpus-per-node", "4"), "and 4 GPUs on each machine"),
        (("--slurm", "output_dir=null", "parallel=null"), "a job needs output_dir"),
        (("--slurm", "--kubernetes"), "asked for together"),
        (("--slurm", "parallel.nodes=2", "parallel.master=a:1"), "write --nodes 2"),
        (("--slurm", "--time", "12h"), "no time for sbatch"),
        (("--slurm", "--time", "00:02:00"), "is 120 s, and the signal to save comes 180 s before"),
        (("--slurm", "--time", "3"), "is 180 s"),
        (("--slurm", "--memory", "20 G"), "no size for slurm"),
        (("--slurm", "--partition", "a b; rm x"), "is not one word"),
        (("--slurm", "--qos", "a\n#SBATCH --nodes=9"), "is not one word"),
    ],
)
def test_what_does_not_go_together_is_not_written(config: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        written(config, *words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1_800), ("1:30", 90), ("12:00:00", 43_200), ("2-00", 172_800), ("1-2:30", 95_400), ("1-00:00:05", 86_405)],
)
def test_times_as_sbatch_takes_them(text: str, seconds: int) -> None:
    assert _seconds(text) == seconds


def test_a_plugin_that_finds_machines_by_itself_is_not_submitted() -> None:
    """Each machine would start the whole run; the line that its own cluster takes is told."""
    plan = StubPlan({"parallel": {"ray": SimpleNamespace(processes=2)}})
    with pytest.raises(TunesmithError, match=r"ray job submit --working-dir=\. -- tunesmith train c\.yaml"):
        refuse_unknown_machines(plan, ["c.yaml"])


def test_gpus_of_the_machine_where_a_job_is_written_do_not_count(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("tunesmith_library_launching.options.visible_gpus", lambda: visible_gpus(tmp_path))
    words = ("parallel.processes=8",)
    assert [problem.key for problem in tunesmith.plan(config, words)[1]] == ["parallel.processes"]
    assert "gpus-per-node=8" in written(config, *words, "--slurm", "--gpus-per-node", "8")


def test_what_pods_do_not_see_is_told(config: str, caplog: pytest.LogCaptureFixture) -> None:
    """Local folders and files, whatever they are given for; what is in a volume is seen."""
    written(config, "--kubernetes", "--image", "i", "--volume", "data:/data")
    (told,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "model.path=./model" in told and "train.json" in told and "output_dir" not in told
    values = {"model": {"path": "/data/m"}, "data": {"train": [{"path": "/data/a.json"}, "/database/b.json"]}}
    assert outside({**values, "stage": {"name": "sft"}, "hub": "org/name"}, [("c", "/data/")]) == [
        "data.train[1]=/database/b.json"
    ]


def test_a_plan_with_problems_is_not_written(config: str) -> None:
    with pytest.raises(ConfigError, match="seeed"):
        written(config, "--slurm", "seeed=3")


def test_the_file_and_its_submission(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = Submit().command()
    result = CliRunner().invoke(command, [config, "--slurm"], catch_exceptions=False)
    assert result.stdout == "done: my-run.sbatch\n  sbatch my-run.sbatch\n"
    with pytest.raises(TunesmithError, match="exists already"):
        CliRunner().invoke(command, [config, "--slurm"], catch_exceptions=False)
    (tmp_path / "sbatch").write_text('#!/bin/sh\necho "Submitted $1"\n')
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = CliRunner().invoke(command, [config, "--slurm", "--run", "-o", "b.sh"], catch_exceptions=False)
    assert result.stdout == "done: b.sh\n  Submitted b.sh\n"
