"""Functions of others, watched while they run: what they raise says where it arose, and calls can be timed."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

from tunesmith_library_configuration.errors import noted


def observed(function: Callable[..., Any], label: str, trace: bool = False) -> Callable[..., Any]:
    """The same function, whose exceptions are noted, also while its generator runs.

    Args:
        label: what is called, for the notes.
        trace: print each call and its time to stderr.
    """

    def rest_of(pieces: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        with noted(label):
            return (yield from pieces)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            with noted(label):
                result = function(*arguments)
            return rest_of(result) if inspect.isgenerator(result) else result
        finally:
            if trace:
                print(f"[tunesmith] {label}: {(time.perf_counter() - start) * 1e3:.1f} ms", file=sys.stderr)

    return call
