"""How a command ends that is told to, or by a disk that takes no more: what it began is tidied away, and it is said."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tunesmith.errors import TunesmithError
from tunesmith_library_configuration.space import is_of_disk, shortage

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP end the process as Ctrl-C does, by an exception; a second one ends it at once.

    Signals that are ignored, as `nohup` has it, stay ignored. In processes that are forked meanwhile a signal does what
    it does by default.
    """
    if threading.current_thread() is not threading.main_thread():  # Python delivers no signals there
        yield
        return
    process = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:
            os.kill(os.getpid(), number)
            return
        raise Terminated(number)

    former = {number: signal.getsignal(number) for number in _ENDING}
    heard = [number for number, handler in former.items() if handler is signal.SIG_DFL]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, former[number])


@contextlib.contextmanager
def disks_in_words() -> Iterator[None]:
    """Raise TunesmithError where a file could not be written because of the disk, with what is free on it."""
    try:
        yield
    except TunesmithError:
        raise
    except Exception as error:
        if not is_of_disk(error):
            raise
        place = Path(getattr(error, "filename", None) or Path.cwd())
        folder = place if place.is_dir() else place.parent
        raise TunesmithError(
            f"{place} cannot be written: {shortage(error, folder)}.\nfree some, or write elsewhere"
        ) from error
