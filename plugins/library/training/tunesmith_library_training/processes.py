"""The processes of one run: who they are, what they do together, and the end of their groups.

A launcher such as torchrun says in the environment how many there are; once they have found together, torch knows. A
run of one process needs no group and pays nothing. torch is imported by what needs it, so that a plugin may ask in
`check` how many processes there will be.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tunesmith import announce

if TYPE_CHECKING:
    import torch
    from torch.distributed import ProcessGroup

# ---- who they are ----------------------------------------------------------------------------------------------------


def count() -> int:
    """How many processes the run has."""
    return _group().get_world_size() if _joined() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is, from 0."""
    return _group().get_rank() if _joined() else int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of the processes of its machine this one is, from 0: the number of its accelerator."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def alike(number: int) -> None:
    """Have each `number` neighbouring processes see the same examples, of which each computes a part.

    Called before the data are divided, by what spreads a sequence or a layer over processes, on all of them alike.

    Raises: ValueError when the processes cannot be divided so.
    """
    global _alike
    if number < 1 or count() % number:
        raise ValueError(f"{count()} processes cannot be divided into groups of {number}")
    _alike = number


def shares() -> int:
    """Into how many shares a batch of the run is divided: the processes, but those that are `alike` count once."""
    return count() // _alike


def share() -> int:
    """Which of the shares this process computes, or helps to compute, from 0."""
    return rank() // _alike


def leads() -> bool:
    """Whether this process counts for its share: what all of a share know must be added up once."""
    return rank() % _alike == 0


_alike = 1  # processes that see the same examples


def is_main() -> bool:
    """Whether this process tells the user and writes the files."""
    return rank() == 0


def tell(number: int, what: str = "examples", spread: str = "") -> None:
    """Say how many processes a run of several has, and what a step is.

    Args:
        number: of what a step has, over all processes.
        spread: what spreads the model over them; empty where each has all of it.
    """
    if count() > 1:
        cut = f"in {shares()} shares" if shares() > 1 else "that all compute together"
        announce("processes", count(), f"{spread or 'each has the whole model'}; a step has {number} {what} {cut}")


def _joined() -> bool:
    """Whether the processes have found together; without torch they have not."""
    loaded = "torch" in sys.modules
    return loaded and _group().is_available() and _group().is_initialized()


def _group() -> Any:
    import torch.distributed

    return torch.distributed


# ---- their groups ----------------------------------------------------------------------------------------------------


def join(use_cpu: bool) -> None:
    """Find together, each process on an accelerator of its own unless `use_cpu`; a trainer keeps to the same group."""
    import torch

    if count() == 1 or _joined():
        return
    accelerated = not use_cpu and torch.accelerator.is_available()
    if accelerated:
        torch.accelerator.set_device_index(local_rank())
    backend = "cpu:gloo,cuda:nccl" if accelerated and torch.cuda.is_available() else "gloo"
    _group().init_process_group(backend, timeout=_patience())
    leave_at_exit()


def _patience() -> timedelta | None:
    """How long an operation of all may take; None is torch's default.

    The launcher ends processes that make no progress for `TUNESMITH_TIMEOUT` seconds, and says which was missing.
    torch cannot tell a process that is lost from one that is at work, as where it saves, and so waits longer.
    """
    told = os.environ.get("TUNESMITH_TIMEOUT")
    return timedelta(seconds=8 * float(told)) if told else None


def numbers_group() -> ProcessGroup | None:
    """A new group of all processes for numbers on the CPU, so that none waits for its device; None when alone."""
    if count() == 1:
        return None
    leave_at_exit()
    made: ProcessGroup = _group().new_group(backend="gloo", timeout=_patience())
    _made.append(made)
    return made


def leave_at_exit() -> None:
    """Close all groups when the interpreter ends: a thread of theirs that outlives it aborts a finished run."""
    atexit.unregister(_leave)
    atexit.register(_leave)


_made: list[ProcessGroup] = []  # by `numbers_group`
_LETTING_GO = 0.1  # seconds without Python's lock, in which threads let go of the tensors of the last collective


def _leave() -> None:
    """Let go of the groups, and be the last who does.

    A group's end waits for its threads, and a thread that has just finished waits for Python's lock to let go of its
    tensors. A group that ends when Python deletes it gives the lock away first; one that ends with a wrapped model,
    which has it from C++, does not, and both wait for ever.
    """
    held = [*_made, *([_group().group.WORLD] if _joined() else [])]
    _made.clear()
    time.sleep(_LETTING_GO)
    gc.collect()  # a trainer and its wrapped model refer to each other, and hold the groups
    if _joined():
        _group().destroy_process_group()
    held.clear()


# ---- what they do together; all of them call it, after they have found together --------------------------------------


def gathered(item: Any, group: ProcessGroup | None = None) -> list[Any]:
    """The items of all processes, in their order; they are pickled."""
    if count() == 1:
        return [item]
    items: list[Any] = [None] * count()
    _group().all_gather_object(items, item, group=group)
    return items


def wait() -> None:
    """Wait until all processes are here."""
    gathered(None)


def any_of(flag: bool) -> bool:
    """Whether a flag is set on any process."""
    return any(gathered(flag))


def summed(values: Sequence[float], group: ProcessGroup | None = None) -> list[float]:
    """Numbers added up over all processes.

    Args:
        group: of `numbers_group`, so that no process waits for its device.
    """
    if count() == 1:
        return list(values)
    import torch

    sums = torch.tensor(values, dtype=torch.float64)
    _group().all_reduce(sums, group=group)
    found: list[float] = sums.tolist()
    return found


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, on each; without gradients."""
    if count() == 1:
        return values
    values = values.detach().clone()
    _group().all_reduce(values)
    return values


def add_gradients(weights: Iterable[torch.Tensor]) -> None:
    """Replace gradients by their sum over all processes; a weight that a process did not use counts as 0 there."""
    if count() == 1:
        return
    import torch

    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        _group().all_reduce(weight.grad)


def start_alike(weights: Iterable[torch.Tensor]) -> None:
    """Give all processes the weights of the first."""
    if count() > 1:
        for weight in weights:
            _group().broadcast(weight.data, src=0)
