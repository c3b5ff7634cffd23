"""The batches of the next step are made, and copied to the GPU, by a thread while the GPU computes this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from tunesmith.types import Batch

Made = tuple[list[Any], list[Batch], str]
"""Micro-batches as the data loader gave them, the batches that they are run as, and what is wrong with the data."""


class Ahead:
    """Makes the batches of a step one step before they are asked for, in the same order.

    Args:
        make: makes those of a step from an epoch's iterator and the number of its micro-batches.
        device: of the batches; on a CPU, which computes itself, nothing is made ahead.
    """

    def __init__(self, make: Callable[[Iterator[Any], int], Made], device: torch.device) -> None:
        self._make, self._device = make, device
        self._thread: ThreadPoolExecutor | None = None
        self._epoch: Iterator[Any] | None = None
        self._next: Future[Made] | None = None

    def begin(self) -> None:
        """Make batches ahead from here on."""
        self._thread = ThreadPoolExecutor(1, "batches", self._enter)

    def _enter(self) -> None:
        if self._device.type == "cuda":  # each thread has a current device of its own
            torch.cuda.set_device(self._device)

    def take(self, epoch: Iterator[Any], count: int) -> Made:
        """The batches of a step, of `count` micro-batches at most; those of the next one are begun."""
        if self._thread is None:
            return self._make(epoch, count)
        if self._next is None or self._epoch is not epoch:
            self._epoch, self._next = epoch, self._thread.submit(self._make, epoch, count)
        made = self._next.result()
        self._next = self._thread.submit(self._make, epoch, count)
        return made

    def end(self) -> None:
        """Make no more; what was made is forgotten."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._thread = self._epoch = self._next = None
