"""A run as a script for sbatch.

One task is started on each machine, which starts the machine's processes: what SLURM says of the others it reads from
its environment. SIGTERM comes some time before the end, and where another job takes the machines; the run then ends
with 75, and is queued again.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith_command_submit.jobs import Job

_RESUMABLE = 75


def script(job: Job) -> str:
    """The script's text."""
    train = [job.python, "-m", "tunesmith", "train", *job.words, *job.overrides]
    record = shlex.quote(f"{job.output_dir}/run.yaml")
    lines = [
        "#!/bin/bash",
        "# written by tunesmith submit",
        *(f"#SBATCH --{option}" for option in _options(job)),
        "",
        f"cd {shlex.quote(str(job.folder))} || exit 2",
        *job.setup,
        "again=()",
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ] && [ -f {record} ]; then',
        "    again=(resume=true overwrite=false)",
        "fi",
        f'srun {shlex.join(train)} "${{again[@]}}"',
        "code=$?",
        f'if [ "$code" -eq {_RESUMABLE} ]; then  # saved before its end',
        '    scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def _options(job: Job) -> list[str]:
    asked = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": job.gpus or None,
        "cpus-per-task": job.cpus,
        "mem": job.memory,
        "time": job.limit,
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "output": f"{job.name}-%j.log",
        "open-mode": "append",
        "signal": f"TERM@{job.grace}",
    }
    return [*(f"{name}={value}" for name, value in asked.items() if value is not None), "requeue"]
