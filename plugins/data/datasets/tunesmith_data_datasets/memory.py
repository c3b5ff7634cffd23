"""Little memory for whoever encodes: what loading left free goes back to the system, and what is there stays shared."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator


def give_back() -> None:
    """Give memory that is free back to the system: reading a tokenizer leaves more than 100 MB, which it would keep.

    Where the C library has no `malloc_trim` (it is GNU's), nothing happens.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Keep the collector from writing into all that exists, so that forked processes share it."""
    give_back()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
