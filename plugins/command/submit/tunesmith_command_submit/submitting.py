"""From a configuration to a job file: the plan is checked, the file written, and submitted where that was asked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tunesmith.assemble import examine
from tunesmith.compose import Composition, compose
from tunesmith.errors import TunesmithError
from tunesmith.messages import logger
from tunesmith.planning import Plan, refuse
from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.reading import to_yaml
from tunesmith_library_configuration.secrets import without_secrets
from tunesmith_library_launching.devices import elsewhere

from tunesmith_command_submit import kubernetes, slurm
from tunesmith_command_submit.checking import outside, refuse_unknown_machines, refuse_values
from tunesmith_command_submit.jobs import Job

_PROGRAMS = {"slurm": ("sbatch",), "kubernetes": ("kubectl", "apply", "-f")}


def submit(
    config: str | None,
    overrides: list[str],
    clusters: list[str],
    *,
    output: Path | None,
    dry_run: bool,
    run: bool,
    **asked: Any,
) -> str:
    """Write the job file of a run, and say what was done.

    Raises: TunesmithError when not one cluster was named, or the file is there already; ConfigError when something is
        wrong with the plan.
    """
    if len(clusters) != 1:
        asked_for = "--slurm and --kubernetes were asked for together." if clusters else "what kind of cluster?"
        raise TunesmithError(f"{asked_for}\nwrite --slurm or --kubernetes")
    (cluster,) = clusters
    composition = compose(config, overrides)
    with elsewhere():
        plan, problems, _ = examine(composition, "train")
    refuse(problems, plan.origins)
    refuse_unknown_machines(plan, [*([config] if config else []), *overrides])
    job = _job(composition, plan, config, overrides, **asked)
    refuse_values(job, cluster)
    if cluster == "kubernetes":
        _warn_of_outside(plan, job)
    text = slurm.script(job) if cluster == "slurm" else kubernetes.manifest(job)
    if dry_run:
        return text.rstrip("\n")
    file = output or _beside(composition, job.name, cluster)
    if file.exists():
        raise TunesmithError(f"{file} exists already.\nremove it, or choose another with --output")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as draft:
        draft.write_text(text, encoding="utf-8")
    command = [*_PROGRAMS[cluster], str(file)]
    return f"done: {file}\n  {_submitted(command) if run else shlex.join(command)}"


def _job(
    composition: Composition, plan: Plan, config: str | None, overrides: list[str], *, name: str | None, **asked: Any
) -> Job:
    """What is asked for, as far as it goes together.

    Raises: TunesmithError.
    """
    if not plan.run.output_dir:
        raise TunesmithError(
            "a job needs output_dir: started again, it goes on from what is there.\nwrite output_dir=/shared/runs/NAME"
        )
    parallel = plan.uses("parallel")
    if not parallel and asked["nodes"] * (asked["gpus"] or 1) > 1:
        wanted = f"{asked['nodes']} machines with {asked['gpus'] or 1} GPUs"
        raise TunesmithError(
            f"{wanted} were asked for, and the plan is for one process.\nwrite parallel=ddp or parallel=fsdp"
        )
    count = getattr(plan.plugin("parallel"), "processes", None)
    if count and asked["gpus"] is None:
        asked["gpus"] = 0 if plan.get("trainer.use_cpu") else count
    if count and asked["gpus"] and count != asked["gpus"]:
        message = f"parallel.processes={count}, and {asked['gpus']} GPUs on each machine were asked for"
        raise TunesmithError(f"{message}.\nleave parallel.processes out, or give both the same number")
    usual = composition.file.stem if composition.file else str(plan.name("stage"))
    volumes = tuple(_mounted(text) for text in asked.pop("volume"))
    return Job(
        name=_plain(name or usual),
        words=(
            *([os.path.abspath(config)] if config and Path(config).exists() else [config] if config else []),
            *overrides,
        ),
        config=to_yaml(without_secrets(dict(composition.tree))),
        output_dir=os.path.expanduser(plan.run.output_dir),
        parallel=parallel,
        volumes=volumes,
        secrets=asked.pop("secret"),
        folder=Path.cwd(),
        python=sys.executable,
        **asked,
    )


def _warn_of_outside(plan: Plan, job: Job) -> None:
    lost = outside(plan.config, job.volumes)
    if lost:
        logger.warning("in no volume, so that the pods do not see it: %s", ", ".join(lost))


def _plain(name: str) -> str:
    """A name that clusters take: small letters, digits and hyphens, 40 at most."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "tunesmith"


def _mounted(text: str) -> tuple[str, str]:
    claim, _, path = text.partition(":")
    if not claim or not path.startswith("/"):
        raise TunesmithError(f"--volume {text} is not CLAIM:PATH.\nfor example --volume data:/data")
    return claim, path


def _beside(composition: Composition, name: str, cluster: str) -> Path:
    """Where the file goes that was given no name."""
    folder = composition.file.parent if composition.file else Path()
    return folder / f"{name}.{'sbatch' if cluster == 'slurm' else 'job.yaml'}"


def _submitted(command: list[str]) -> str:
    """Submit a job file; what the cluster answers.

    Raises: TunesmithError when its program is not there, or refuses it.
    """
    if shutil.which(command[0]) is None:
        raise TunesmithError(f"{command[0]} is not installed here.\nwhere it is: {shlex.join(command)}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TunesmithError(f"{shlex.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()
