"""How many bytes tensors take, and how many were there at once: what estimates are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def held_bytes(*things: Any) -> int:
    """Bytes of all tensors that modules, tensors, lists, mappings and plain objects hold; what several share, once."""
    storages = {}
    for tensor in _tensors(things, set()):
        storage = tensor.untyped_storage()
        if tensor.device.type != "meta":
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def most_at_once(work: Callable[[], object]) -> int:
    """Bytes that torch's allocator gave out on the CPU while something ran, at most, beyond those before.

    What a library such as MKL allocates by itself is not among them.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    results: Any = seen.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def _tensors(things: Iterable[Any], seen: set[int]) -> Iterator[Any]:
    import torch

    for thing in things:
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            parts = getattr(thing, "__tensor_flatten__", None)  # of a class that is made of others
            if parts is not None and type(thing).__name__ != "Parameter":
                yield from _tensors([getattr(thing, name) for name in parts()[0]], seen)
            else:
                yield thing
            yield from _tensors(vars(thing).values(), seen)
        elif isinstance(thing, Mapping):
            yield from _tensors(thing.values(), seen)
        elif isinstance(thing, (list, tuple, set)):
            yield from _tensors(thing, seen)
        elif hasattr(thing, "__dict__") and type(thing).__module__ != "builtins":
            yield from _tensors(vars(thing).values(), seen)
