"""Little memory for whoever encodes: what loading left free goes back to the system, and what is there stays shared."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

_SMALL = 1 << 20  # bytes of files, for which looking through all objects takes longer than encoding


def give_back() -> None:
    """Give memory that is free back to the system: reading a tokenizer leaves more than 100 MB, which it would keep.

    Where the C library has no `malloc_trim` (it is GNU's), nothing happens.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def shared(files: Sequence[Path]) -> Iterator[None]:
    """Keep the collector from writing into all that exists, so that processes that are forked to encode files share it.

    Small files are encoded as things are.
    """
    if sum(file.stat().st_size for file in files) < _SMALL:
        yield
        return
    give_back()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
