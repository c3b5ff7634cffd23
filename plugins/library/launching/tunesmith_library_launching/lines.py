"""The command lines of other launchers that do what a plan does with its `parallel` plugin.

Where another launcher has started the processes, the plugin starts none, and spreads the model as it would.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from tunesmith.planning import Plan
from tunesmith_library_configuration.overrides import written_overrides

from tunesmith_library_launching.machines import address

_PROGRAM = "tunesmith"
_PLACES = ("processes", "nodes", "node_rank", "master")  # which Ray chooses


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
    on_ray = _on_ray(plan, words)
    if on_ray is not None:
        lines["ray"] = f"ray job submit --working-dir=. -- {_PROGRAM} {shlex.join(['train', *on_ray])}"
    return lines


def _on_ray(plan: Plan, words: Sequence[str]) -> list[str] | None:
    """The words of the same run on Ray; None where Ray's plugin is not told all that the plan's is."""
    name, launcher = plan.name("parallel"), plan.plugin("parallel")
    ray = plan.installed("parallel").get("ray")
    if name == "ray" or ray is None:
        return list(words) if name == "ray" or getattr(launcher, "nodes", 1) == 1 else None
    count = getattr(launcher, "processes", None)
    total = {"processes": count * getattr(launcher, "nodes", 1)} if count else {}
    changed = _changed(launcher)
    shared = {field.name for field in fields(ray)}
    options = total | {option: value for option, value in changed.items() if option in shared}
    own = {option: value for option, value in changed.items() if option not in shared}
    if own or plan.traits("parallel").spreads:
        if not hasattr(launcher, "place"):
            return None
        options |= {"sharding": name} | ({"sharding_options": own} if own else {})
    kept = [word for word in words if word.partition("=")[0].partition(".")[0].rstrip("+") != "parallel"]
    told = written_overrides({f"parallel.{option}": value for option, value in options.items()})
    return [*kept, "parallel=ray", *told]


def _changed(launcher: Any) -> dict[str, Any]:
    """The options of a plugin that are not at their defaults, but those of how many processes there are, and where."""
    found = {}
    for field in fields(launcher):
        usual = field.default if field.default_factory is MISSING else field.default_factory()
        value = getattr(launcher, field.name)
        if field.init and not field.name.startswith("_") and field.name not in _PLACES and value != usual:
            found[field.name] = value
    return found
