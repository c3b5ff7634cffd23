"""Finds on the CPU what would have the host wait for a GPU: values that are read, and shapes that depend on values.

Not seen is what library code in C++ does on other devices alone; tests on a GPU use `torch.cuda.set_sync_debug_mode`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_READING = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "nonzero_numpy", "masked_select", "bincount"}
_READING |= {"unique_dim", "unique_consecutive", "_unique2", "_linalg_check_errors", "histc"}
_COPIES = {"tolist", "numpy", "cpu", "__array__"}  # methods of tensors, which no dispatcher sees on the CPU
_FROM_HOST = {"tensor", "as_tensor", "asarray"}  # functions that would copy Python's numbers to the device, and wait


class Waits:
    """Notes each operation between `begin` and `end` that would wait, with the line of ours that asked for it."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._modes: list[Any] = []

    def begin(self) -> None:
        """Look from here on."""
        if not self._modes:
            self._modes = [_Functions(self), _Operations(self)]
            for mode in self._modes:
                mode.__enter__()

    def end(self) -> None:
        """Look no more, until `begin`."""
        while self._modes:
            self._modes.pop().__exit__(None, None, None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not look for the time of the block."""
        looked = bool(self._modes)
        self.end()
        try:
            yield
        finally:
            if looked:
                self.begin()

    def note(self, what: str) -> None:
        """Add an operation, with the place in the code that called it; what a data loader does is the host's alone."""
        stack = traceback.extract_stack()
        if any(frame.filename.endswith("torch/utils/data/dataloader.py") for frame in stack):
            return
        frames = [frame for frame in stack if "/torch/" not in frame.filename]
        frames = [frame for frame in frames if frame.filename != __file__]
        ours = [frame for frame in frames if "tunesmith" in frame.filename]
        told = [f"{frame.filename}:{frame.lineno} {frame.line}" for frame in (*ours[-1:], *frames[-1:])]
        self.found.append(f"{what}: {' … '.join(dict.fromkeys(told))}")


class _Functions(TorchFunctionMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in _COPIES and args and isinstance(args[0], torch.Tensor):
            self.waits.note(name)
        if name == "new_tensor" or (name in _FROM_HOST and args and not isinstance(args[0], torch.Tensor)):
            self.waits.note(name)
        return function(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.waits = waits

    def __torch_dispatch__(self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in _READING or _by_mask(name, args) or _of_unknown_size(name, args, kwargs or {}):
            self.waits.note(name)
        return function(*args, **(kwargs or {}))


def _by_mask(name: str, args: Sequence[Any]) -> bool:
    """Whether rows are chosen by a boolean tensor: how many they are must be read."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
        return False
    return any(isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def _of_unknown_size(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether something is repeated by numbers on the device, whose sum must be read."""
    numbers = args[1:2] if len(args) > 1 else args[:1]
    by_tensor = name == "repeat_interleave" and any(isinstance(each, torch.Tensor) for each in numbers)
    return by_tensor and kwargs.get("output_size") is None
