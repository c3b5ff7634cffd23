"""Whether a launcher has started this process, by the environment that it gave it."""

from __future__ import annotations

import os

STANDS_FOR = "TUNESMITH_STANDS_FOR"
"""A variable: for how many processes of the plan each of those stands that a launcher found room for."""


def launched() -> int | None:
    """How many processes a launcher such as torchrun has started, this one of them; None where there was none.

    A Kubernetes operator that counts its pods in `WORLD_SIZE`, and leaves it to each pod to start processes
    (`PET_NNODES`, without a `LOCAL_RANK`), is none.
    """
    count = os.environ.get("WORLD_SIZE")
    pods = "PET_NNODES" in os.environ and "LOCAL_RANK" not in os.environ
    return None if count is None or pods else int(count)


def is_main_process() -> bool:
    """Whether this process is the first of a distributed run, or the only one."""
    return os.environ.get("RANK", "0") == "0"
