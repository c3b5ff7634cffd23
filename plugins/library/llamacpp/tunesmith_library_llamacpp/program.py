"""llama.cpp itself: found, or said how to get it; silent; its complaints kept for whoever says why something failed.

It is called through the functions of llama-cpp-python that are llama.cpp's own, not through its class `Llama`, which
answers one request at a time.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from tunesmith import TunesmithError

_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # ggml's levels of what it says
_KEPT = 40  # complaints
INSTALL = "pip install 'tunesmith-library-llamacpp[program]'"
"""How llama-cpp-python comes to be there."""


def is_installed() -> bool:
    """Whether llama-cpp-python is there; it is not imported."""
    return importlib.util.find_spec("llama_cpp") is not None


@functools.cache
def native() -> Any:
    """llama.cpp's functions, structures and constants under their own names, ready for use.

    Raises: TunesmithError when llama-cpp-python is not installed, or cannot be loaded.
    """
    if not is_installed():
        raise TunesmithError(f"llama-cpp-python, which runs GGUF files, is not installed.\n  {INSTALL}")
    try:
        functions = importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise TunesmithError(
            f"llama-cpp-python is installed, and cannot be loaded: {error}\n  build it: {INSTALL} --force-reinstall"
        ) from error
    _journal.listen(functions)
    functions.llama_backend_init()
    return functions


def program() -> str:
    """What runs the files, with its versions."""
    package = importlib.import_module("llama_cpp")
    return f"llama.cpp {native().llama_version().decode()} (llama-cpp-python {package.__version__})"


def default_threads() -> int:
    """How many threads compute where nobody says it: as `OMP_NUM_THREADS` says, else one for each processor."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Journal:
    """What llama.cpp says: nothing of it reaches the screen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._complaints: deque[str] = deque(maxlen=_KEPT)
        self._hearing: list[list[str]] = []
        self._level = 0
        self._callback: Any = None  # held, for C does not hold it

    def listen(self, functions: Any) -> None:
        self._callback = functions.llama_log_callback(self._hear)
        functions.llama_log_set(self._callback, None)

    def _hear(self, level: int, text: bytes, _: Any) -> None:
        said = (text or b"").decode(errors="replace")
        with self._lock:
            self._level = self._level if level == _CONTINUED else level
            for heard in self._hearing:
                heard.append(said)
            if self._level in (_WARNING, _ERROR) and said.strip():
                self._complaints.append(said.strip())

    @contextlib.contextmanager
    def heard(self) -> Iterator[list[str]]:
        """All that is said while the block lasts, in pieces as they come."""
        heard: list[str] = []
        with self._lock:
            self._complaints.clear()
            self._hearing.append(heard)
        try:
            yield heard
        finally:
            with self._lock:
                self._hearing = [other for other in self._hearing if other is not heard]

    def cause(self) -> str:
        with self._lock:
            told = [said for said in self._complaints if "error" in said.lower()] or list(self._complaints)
        return "; ".join(" ".join(said.split()) for said in dict.fromkeys(told[-3:])) or "it does not say why"


_journal = _Journal()
heard = _journal.heard
cause = _journal.cause
"""The last complaints of llama.cpp since `heard` began, in one line."""
