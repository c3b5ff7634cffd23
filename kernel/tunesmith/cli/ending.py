"""How a command ends that is told to, or by a disk that takes no more: what it began is tidied away, and it is said."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tunesmith.errors import TunesmithError
from tunesmith_library_configuration.space import is_of_disk, remedy, shortage

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _hears_signals() -> bool:
    """Whether this is the thread that Python delivers signals to."""
    return threading.current_thread() is threading.main_thread()


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
    if not _hears_signals():
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


class _Refusal:
    """A finder of modules that finds none: once Ctrl-C stopped an import, no module imports another."""

    def find_spec(self, *_: object) -> None:
        if _depth_of_imports(sys._getframe()) > 1:  # tidying up may import
            raise KeyboardInterrupt


class _Presses:
    """Hears Ctrl-C, and lets it raise where that does no harm."""

    def __init__(self) -> None:
        self.since: float | None = None  # when one was pressed that has not raised yet
        self.fell = False  # whether an import was stopped
        self.refusal = _Refusal()
        self._echo = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """What the signal does."""
        first, echo, self._echo = self.since is None, self._echo, False
        if _depth_of_imports(frame):
            if first:
                self.since = time.monotonic()
            if (first or echo) and time.monotonic() - (self.since or 0.0) < _PATIENCE:
                _thread.start_new_thread(self._press_again, ())
                return
            self.fell = True
            sys.meta_path.insert(0, self.refusal)
        self.since = None
        raise KeyboardInterrupt

    def lost(self) -> None:
        """It raised where nothing can be raised, and is pressed once more."""
        self.since = time.monotonic()
        _thread.start_new_thread(self._press_again, ())

    def _press_again(self) -> None:
        time.sleep(0.02)
        if self.since is None:
            return
        self._echo = True
        if hasattr(signal, "pthread_kill"):  # Windows has none, nor a way to wake what sleeps
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)


_PATIENCE = 10.0  # seconds that an import may go on for; a second Ctrl-C stops it at once


@contextlib.contextmanager
def heard_in_imports() -> Iterator[None]:
    """While entered, a Ctrl-C ends the command wherever it falls, whatever a library makes of it.

    In an import it waits for the import's end: some libraries catch what it raises there, a half imported numpy stays
    behind in torch, and torch's own initialisation ends the process. One that stops an import after all is raised again
    by further imports, and another exception counts as the interruption that it comes from. Finalizers can raise
    nothing at all, so one that falls there comes once more.
    """
    if not _hears_signals() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    presses, told = _Presses(), sys.unraisablehook

    def tell(unraised: sys.UnraisableHookArgs) -> None:
        if isinstance(unraised.exc_value, KeyboardInterrupt):
            presses.lost()
        else:
            told(unraised)

    signal.signal(signal.SIGINT, presses.hear)
    sys.unraisablehook = tell
    try:
        yield
        if presses.since is not None:
            raise KeyboardInterrupt
    except Exception as error:
        if presses.fell or presses.since is not None or _comes_of_interruption(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        presses.since = None
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not presses.refusal]


def _comes_of_interruption(error: BaseException | None) -> bool:
    """Whether an exception was raised because of an interruption, or while one was dealt with."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _depth_of_imports(frame: FrameType | None) -> int:
    """How many imports inside each other a frame is in."""
    depth = 0
    while frame is not None:
        depth += frame.f_code.co_name == "_find_and_load"
        frame = frame.f_back
    return depth


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
            f"{place} cannot be written: {shortage(error, folder)}.\n{remedy(error, 'write elsewhere')}"
        ) from error
