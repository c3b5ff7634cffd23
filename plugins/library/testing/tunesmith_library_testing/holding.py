"""How many bytes tensors take: what estimates are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def held_bytes(*things: Any) -> int:
    """Bytes of all tensors that modules, tensors, lists, mappings and plain objects hold; what several share, once."""
    storages = {}
    for tensor in _tensors(things, set()):
        storage = tensor.untyped_storage()
        if tensor.device.type != "meta":
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


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
