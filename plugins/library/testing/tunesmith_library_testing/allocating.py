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
    """Count what torch allocates on the CPU, by the events of its profiler; what is freed counts less.

    What a library such as MKL allocates by itself is not among them.
    """
    from torch.profiler import ProfilerActivity, profile

    found = Highest()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        yield found
    results: Any = seen.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    now = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        found.bytes = max(found.bytes, now)
