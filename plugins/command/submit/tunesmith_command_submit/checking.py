"""What is wrong with a job, as far as it can be known where it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.planning import Plan
from tunesmith_library_launching.lines import launch_lines

if TYPE_CHECKING:
    from tunesmith_command_submit.jobs import Job

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")
_MEMORY = {
    "slurm": (re.compile(r"\d+[KMGT]?", re.IGNORECASE), "200G"),
    "kubernetes": (re.compile(r"\d+(\.\d+)?([kMGTPE]|[KMGTPE]i)?"), "200Gi"),
}


def refuse_unknown_machines(plan: Plan, words: Sequence[str]) -> None:
    """A cluster gives a job its machines, and the plan's processes have to be started on these.

    Raises: TunesmithError when a plugin finds machines by itself, such as Ray's, or when the options name some.
    """
    name, launcher = plan.name("parallel"), plan.plugin("parallel")
    if name is None:
        return
    if not hasattr(launcher, "node_rank"):
        line = launch_lines(plan, words).get(name)
        advice = "write parallel=ddp or parallel=fsdp" + (f"; or on a cluster of its own: {line}" if line else "")
        raise TunesmithError(
            f"parallel={name} finds machines by itself, and each machine of a job would start the whole run.\n{advice}"
        )
    for option, usual in (("nodes", 1), ("node_rank", 0), ("master", None)):
        value = getattr(launcher, option, usual)
        if value != usual:
            advice = f"leave it out, and write --nodes {launcher.nodes}"
            raise TunesmithError(f"parallel.{option}={value}: a job is told of its machines by the cluster.\n{advice}")


def refuse_values(job: Job, cluster: str) -> None:
    """Values that the cluster would refuse, or take for something else.

    Raises: TunesmithError.
    """
    for option in ("partition", "account", "qos"):
        value = getattr(job, option)
        if value is not None and not re.fullmatch(r"[^\s\x00-\x1f\x7f;]+", value):
            raise TunesmithError(f"--{option} {value!r} is not one word.\nwrite a name, or names with commas between")
    pattern, example = _MEMORY[cluster]
    if job.memory is not None and not pattern.fullmatch(job.memory):
        raise TunesmithError(f"--memory {job.memory!r} is no size for {cluster}.\nfor example --memory {example}")
    if job.limit is None or cluster != "slurm":
        return
    seconds = _seconds(job.limit)
    if seconds is None:
        possible = "minutes, hours:minutes:seconds, days-hours, days-hours:minutes:seconds"
        raise TunesmithError(f"--time {job.limit!r} is no time for sbatch.\nfor example 12:00:00; possible: {possible}")
    if seconds <= job.grace:
        message = f"--time {job.limit} is {seconds} s, and the signal to save comes {job.grace} s before its end"
        raise TunesmithError(f"{message}, so that nothing would be trained.\nwrite a longer --time, or less --grace")


def _seconds(text: str) -> int | None:
    """A time as sbatch takes it, in seconds; None where it takes none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    numbers = [int(part) for part in found["clock"].split(":")]
    if found["days"] is None:
        numbers = {1: [0, *numbers, 0], 2: [0, *numbers], 3: numbers}[len(numbers)]
    else:
        numbers += [0] * (3 - len(numbers))
    hours, minutes, seconds = numbers
    return int(found["days"] or 0) * 86_400 + hours * 3_600 + minutes * 60 + seconds


def outside(config: Mapping[str, Any], volumes: Sequence[tuple[str, str]]) -> list[str]:
    """`key=path` of the files and folders in a configuration that a pod would not see: they are in none of its volumes.

    Args:
        volumes: claims, and where they are mounted.
    """
    return [
        f"{key}={path}"
        for key, path in _paths(config)
        if key != "output_dir" and not any(f"{path}/".startswith(f"{at.rstrip('/')}/") for _, at in volumes)
    ]


def _paths(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Values that are paths: those from the root, and those of something that is there."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _paths(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _paths(value, f"{key}[{number}]")
    elif isinstance(node, str) and _is_path(node):
        yield key, node


def _is_path(text: str) -> bool:
    if "\n" in text or "\0" in text or len(text) > 4_096:
        return False
    if os.path.isabs(text) or text.startswith(("~/", "./", "../")):
        return True
    return (os.sep in text or Path(text).suffix != "") and os.path.exists(text)
