"""How many bytes torch has allocated at the highest moment of a block, for tests of what is said to be needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Highest:
    """What was measured; known when the block has ended."""

    bytes: int = 0  # over what was there at its beginning


@contextmanager
def highest_allocation() -> Iterator[Highest]:
    """Count what this thread allocates on the CPU, by the events of torch's profiler; what is freed counts less."""
    import torch

    found = Highest()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        yield found
    now = 0
    for _, size in sorted(_allocations(profile.profiler.kineto_results.experimental_event_tree())):
        now += size
        found.bytes = max(found.bytes, now)


def _allocations(nodes: Any) -> Iterator[tuple[int, int]]:
    """When, and how many bytes; what is freed is negative."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.typed[0].name == "Allocation":
            yield node.start_time_ns, node.typed[1].alloc_size
        waiting += node.children
