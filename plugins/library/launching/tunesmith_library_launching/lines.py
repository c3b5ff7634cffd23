"""The command lines of other launchers that do what a plan does with its `parallel` plugin.

Where another launcher has started the processes, the plugin starts none, and spreads the model as it would.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tunesmith.planning import Plan

from tunesmith_library_launching.machines import address

_PROGRAM = "tunesmith"


def launch_lines(plan: Plan, words: Sequence[str]) -> dict[str, str]:
    """The lines by the name of the launcher; empty for a plan without `parallel`.

    Args:
        words: configuration and overrides, as the command line was given them.
    """
    launcher = plan.plugin("parallel")
    if launcher is None:
        return {}
    count: int | None = getattr(launcher, "processes", None)
    nodes: int = getattr(launcher, "nodes", 1)
    rank: int = getattr(launcher, "node_rank", 0)
    host, port = address(getattr(launcher, "master", None) or "127.0.0.1:29500")
    train = shlex.join(["train", *words])
    there = f" --nnodes={nodes} --node-rank={rank} --master-addr={host} --master-port={port}"
    each = f"--nproc-per-node={count or 'gpu'}"
    lines = {"torchrun": f"torchrun {each}{there if nodes > 1 else ' --standalone'} -m {_PROGRAM} {train}"}
    if not plan.get("trainer.use_cpu"):
        there = f" --machine_rank={rank} --main_process_ip={host} --main_process_port={port}" if nodes > 1 else ""
        all_of_them = f" --num_processes={count * nodes} --multi_gpu" if count and count * nodes > 1 else ""
        plain = f"--num_machines={nodes}{there}{all_of_them} --mixed_precision=no --dynamo_backend=no"
        lines["accelerate"] = f"accelerate launch {plain} --module {_PROGRAM} {train}"
        there = f" --hostfile=HOSTFILE --num_nodes={nodes}" if nodes > 1 else ""
        each = f" --num_gpus={count}" if count else ""
        lines["deepspeed"] = f"deepspeed{there}{each} --no_local_rank --module {_PROGRAM} {train}"
    lines["ray"] = f"ray job submit --working-dir=. -- {_PROGRAM} {shlex.join(['train', *_on_ray(plan, words)])}"
    return lines


def _on_ray(plan: Plan, words: Sequence[str]) -> list[str]:
    """The words of the same run on Ray."""
    name = plan.name("parallel")
    if name == "ray" or "ray" not in plan.installed("parallel"):
        return list(words)
    launcher, spreads = plan.plugin("parallel"), plan.traits("parallel").spreads
    kept = [word for word in words if word.partition("=")[0].partition(".")[0] != "parallel"]
    count = getattr(launcher, "processes", None)
    number = [f"parallel.processes={count * getattr(launcher, 'nodes', 1)}"] if count else []
    return [*kept, "parallel=ray", *number, *([f"parallel.sharding={name}"] if spreads else [])]
