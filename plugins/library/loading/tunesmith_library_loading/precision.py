"""In which numbers this machine computes: on accelerators by what they can, on processors by what is faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.types import Precision
from tunesmith_library_estimates import room
from tunesmith_library_training import processes

from .importing import import_transformers
from .remembered import Times, keep, recall
from .work import Task, Work, is_small, work_of

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""torch's name of each precision."""

Decision = tuple[Precision, str]
"""What is chosen, and why."""

# As /proc/cpuinfo and torch spell the bf16 instructions of x86 and of ARM.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


MESSAGES = (
    "precision: {chosen} ({when}: a step takes {share} times as long as in {other}, and {gain})",
    "precision: {chosen} ({when}: an answer takes {share} times as long as in {other}, and {gain})",
    "rounds less",
    "takes half of the memory",
    "measured before",
)
"""What is said of a choice, for catalogues of other languages."""


def resolve(
    requested: str, path: Path | None = None, task: Task | None = None, overrides: Mapping[str, Any] | None = None
) -> Precision:
    """Decide between bf16, fp16 and fp32.

    Args:
        path: the model's folder. Without it and a task, `auto` goes by what the hardware can.
        task: what is done with the model.
        overrides: values of the model's configuration, over its own.

    Raises: TunesmithError when the hardware cannot compute in what was asked for.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = "cpu" if accelerator is None else accelerator.type
    if requested == "auto":
        chosen, why = _choose(kind, path, task, overrides or {})
        if task is None or task.purpose is not None:  # else nothing is computed in it
            announce("precision", chosen, why)
        return chosen
    if requested == "fp32":
        return "fp32"
    if requested == "bf16":
        if kind == "cuda" and not has_bf16(kind):
            name = torch.cuda.get_device_name()
            raise TunesmithError(f"precision=bf16: {name} has no bf16 (from Ampere on).\n  use precision=fp16 or fp32")
        if not has_bf16(kind):
            logger.warning("precision=bf16: this %s only emulates it, which is slow; precision=fp32 is faster", kind)
        return "bf16"
    if requested == "fp16":
        if kind == "cpu":
            raise TunesmithError("precision=fp16: it needs a GPU, and there is none.\n  use precision=auto")
        return "fp16"
    raise TunesmithError(f"precision={requested}: unknown.\n  {choices(requested, ('auto', 'bf16', 'fp16', 'fp32'))}")


def has_bf16(kind: str) -> bool:
    """Whether a type of device has instructions for bf16; `kind` as torch names it: cpu, cuda, mps, …

    A processor that has them may still be slower in it than in fp32, for its libraries are not as good at all else.
    """
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        return any(_cpu_capabilities().get(name) for name in _BF16_INSTRUCTIONS)
    return kind != "mps"


def _cpu_capabilities() -> Mapping[str, Any]:
    """The CPU's instruction sets by name, from torch (2.13 on), else from the kernel of the operating system."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    cpuinfo = Path("/proc/cpuinfo")
    return dict.fromkeys(cpuinfo.read_text().split(), True) if cpuinfo.is_file() else {}


def _choose(kind: str, path: Path | None, task: Task | None, overrides: Mapping[str, Any]) -> Decision:
    """What `auto` is."""
    able = has_bf16(kind)
    if task is not None and task.former and (able or task.former == "fp32"):
        return task.former, "as in the checkpoint that the run goes on from"
    if not able:
        return "fp32", f"no bf16 on this {kind}"
    if kind != "cpu" or path is None or task is None or task.purpose is None:
        return "bf16", f"this {kind} computes in it"
    if task.former is not None:
        return "bf16", "as earlier versions chose, of one of which the run's checkpoint is"
    work = work_of(path, task, overrides)
    if work is None:
        return "bf16", "this cpu computes in it; there is no config.json to tell which is faster"
    if is_small(work.config):
        return "fp32", "the model is too small to gain by bf16"
    return agreed(work, decide)


def agreed(work: Work, decision: Callable[[Work], Decision]) -> Decision:
    """A decision that is the same in all processes of a training: that of the first, for others may run elsewhere."""
    if processes.count() == 1:
        return decision(work)
    if work.purpose == "answers":
        return "bf16", "this cpu computes in it; which is faster is not measured beside other processes"
    processes.join(use_cpu=True)
    return processes.gathered(decision(work) if processes.is_main() else None)[0]  # type: ignore[no-any-return]


def decide(work: Work, compare: Callable[[Work], Times] | None = None) -> Decision:
    """The faster numbers for a work on a processor that computes in both, as measured now or before.

    Args:
        compare: measures; None is `comparing.compare`.
    """
    memory = room.of_host(processes.count())
    if work.whole_bytes and memory is not None and not memory.holds(work.whole_bytes):
        return "bf16", f"in fp32 the weights alone would take {work.whole_bytes / 2**30:,.1f} GiB"
    times, when = recall(work), "measured before"
    if times is None:
        try:
            times, when = _measured(work, compare), "measured"
        except OSError as error:
            return "bf16", f"this cpu computes in it; what is measured cannot be remembered: {error}"
        except RuntimeError as error:
            return "bf16", f"this cpu computes in it; which is faster cannot be tried: {error}"
    chosen = times.faster(work)
    other = "bf16" if chosen == "fp32" else "fp32"
    what = "an answer" if work.purpose == "answers" else "a step"
    share, gain = times.of(chosen), "takes half of the memory" if chosen == "bf16" else "rounds less"
    beside = f", and {gain}" if share >= 1 else ""
    return chosen, f"{when}: {what} takes {share:.2f} times as long as in {other}{beside}"


def _measured(work: Work, compare: Callable[[Work], Times] | None) -> Times:
    """Measure and remember. Raises: NoPiece, a RuntimeError; OSError where nothing can be written."""
    import_transformers(training=work.purpose != "answers", needed=work.packages)
    from . import comparing

    times = (compare or comparing.compare)(work)
    keep(work, times)
    return recall(work) or times  # another process may have been first
