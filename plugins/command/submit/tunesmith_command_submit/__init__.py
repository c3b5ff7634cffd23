"""A command: `tunesmith submit CONFIG --slurm`, a run as a job of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class Submit:
    """Write the job file of a run for SLURM or Kubernetes, and say how it is submitted."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.arguments import ConfigCommand, configured
        from tunesmith.cli.output import say

        many, few = click.IntRange(1, 65_536), click.IntRange(0, 1_024)
        file = click.Path(dir_okay=False, path_type=Path)

        @click.command("submit", cls=ConfigCommand)
        @configured
        @click.option("--slurm", is_flag=True, help="Write a script for sbatch.")
        @click.option("--kubernetes", is_flag=True, help="Write a JobSet for kubectl.")
        @click.option("--nodes", type=many, default=1, show_default=True, help="Machines.")
        @click.option("--gpus-per-node", "gpus", type=few, help="One process for each; 0 is for CPUs.")
        @click.option("--cpus-per-node", "cpus", type=many, help="Cores of each machine.")
        @click.option("--memory", help="Of each machine: 200G for SLURM, 200Gi for Kubernetes.")
        @click.option("--time", "limit", help="Time limit: 12:00:00, 2-00:00:00 (SLURM).")
        @click.option(
            "--grace", type=click.IntRange(10, 65_535), default=180, show_default=True, help="Seconds to save."
        )
        @click.option("--name", help="Of the job; that of the configuration by default.")
        @click.option("--partition", help="SLURM's.")
        @click.option("--account", help="SLURM's.")
        @click.option("--qos", help="SLURM's.")
        @click.option(
            "--setup", multiple=True, metavar="LINE", help="Shell line before the run: module load cuda (SLURM)."
        )
        @click.option("--image", help="Container image with Tunesmith (Kubernetes).")
        @click.option(
            "--volume", multiple=True, metavar="CLAIM:PATH", help="A claim and where it is mounted (Kubernetes)."
        )
        @click.option(
            "--secret", multiple=True, metavar="NAME", help="Secret that becomes the environment (Kubernetes)."
        )
        @click.option(
            "--restarts", type=few, default=3, show_default=True, help="How often a job starts again (Kubernetes)."
        )
        @click.option("-o", "--output", type=file, help="File to write; beside the configuration by default.")
        @click.option("--dry-run", is_flag=True, help="Print the file, and write nothing.")
        @click.option("--run", is_flag=True, help="Submit it, too.")
        def command(config: str | None, overrides: list[str], slurm: bool, kubernetes: bool, **asked: Any) -> None:
            """Write the job file of a run, and print the command that submits it.

            The plan is checked first. The job saves before its time is over, or another takes its place, and then goes
            on from there by itself.

            \b
            tunesmith submit my.yaml output_dir=/shared/runs/my parallel=fsdp --slurm --nodes 2 --gpus-per-node 8
            tunesmith submit my.yaml output_dir=/data/my parallel=ddp --kubernetes --image IMAGE --volume data:/data
            """
            from tunesmith_command_submit.submitting import submit

            clusters = [name for name, wanted in (("slurm", slurm), ("kubernetes", kubernetes)) if wanted]
            say(submit(config, overrides, clusters, **asked))

        return command
