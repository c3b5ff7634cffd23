"""What was measured on this machine, kept for the next run: a small file for each model's shape, in the user's cache.

A file is never changed, so that several processes are safe beside each other; one that is damaged is measured anew.
It can be asked without torch, which a plan does not import.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tunesmith.files import replacing
from tunesmith.types import Precision
from tunesmith_library_caching.places import PRECISIONS, kept_in

from .work import Task, Work, is_small, shape_of, work_of

_METHOD = 1  # of measuring; another one measures anew
_BETTER = 0.9  # of the other's time, at most: a piece leaves out what takes as long in both, as batches and optimizers


@dataclass(frozen=True)
class Times:
    """What the same work takes in each type, in seconds of the processor."""

    fp32: float
    bf16: float

    def faster(self, work: Work) -> Precision:
        """The better of the two. Where they are alike, training is exact, and what answers takes half of the memory."""
        limit = 1 / _BETTER if work.purpose == "answers" else _BETTER
        return "bf16" if self.bf16 <= limit * self.fp32 else "fp32"

    def of(self, precision: Precision) -> float:
        """The time in a type, as a share of that in the other."""
        return self.fp32 / self.bf16 if precision == "fp32" else self.bf16 / self.fp32


def recall(work: Work) -> Times | None:
    """What was measured before; None where nothing was, or the file does not say it."""
    try:
        said = json.loads(_file(work).read_text(encoding="utf-8"))
        times = Times(float(said["fp32"]), float(said["bf16"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return times if all(0 < seconds < math.inf for seconds in (times.fp32, times.bf16)) else None


def keep(work: Work, times: Times) -> None:
    """Remember what was measured. Raises: OSError where nothing can be written."""
    said: dict[str, Any] = {"name": _name(work), "fp32": times.fp32, "bf16": times.bf16, **_depends(work)}
    with replacing(_file(work)) as draft:
        draft.write_text(json.dumps(said, indent=1), encoding="utf-8")


def known(folder: Path, task: Task, overrides: Mapping[str, Any]) -> Precision | None:
    """What `precision=auto` will be, as far as that is known without torch; None where a run has to find out.

    Args:
        folder: of the model.
        overrides: values of its configuration, over its own.
    """
    if task.former:
        return task.former
    work = None if task.former == "" or shutil.which("nvidia-smi") else work_of(folder, task, overrides)
    if work is None:
        return None
    times = recall(work)
    return "fp32" if is_small(work.config) else None if times is None else times.faster(work)


def _name(work: Work) -> str:
    """What it is, for whoever lists what is kept."""
    shape = [work.config.get(name) for name in ("model_type", "num_hidden_layers", "hidden_size")]
    model = "{} of {} × {}".format(*("?" if value is None else value for value in shape))
    return f"{model}, {work.purpose}" + ("" if work.purpose == "answers" else f", {work.sequences} sequences")


def _file(work: Work) -> Path:
    key = json.dumps(_depends(work), sort_keys=True, default=str).encode()
    return kept_in(PRECISIONS) / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.json"


def _depends(work: Work) -> dict[str, Any]:
    """All that the times depend on."""
    name, instructions = _processor()
    return {
        "model": shape_of(work.config),
        "purpose": work.purpose,
        "sequences": None if work.purpose == "answers" else work.sequences,
        "processor": name,
        "instructions": hashlib.blake2b(instructions.encode(), digest_size=8).hexdigest(),
        "threads": _threads(os.environ),
        "torch": metadata.version("torch"),
        "method": _METHOD,
    }


def _processor() -> tuple[str, str]:
    """The processor's name, and what it can do."""
    name, instructions = platform.processor() or platform.machine(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return name, instructions
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            return name, " ".join(sorted(value.split()))
    return name, instructions


def _threads(environment: Mapping[str, str]) -> str:
    """How many threads torch will take: as many as the environment says, else as there are processors."""
    if hasattr(os, "sched_getaffinity"):
        return environment.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
    return environment.get("OMP_NUM_THREADS") or str(os.cpu_count())
