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
    """A finder of modules that finds none: once Ctrl-C was pressed in an import, no module imports another."""

    def find_spec(self, *_: object) -> None:
        if _depth_of_imports(sys._getframe()) > 1:  # tidying up may import
            raise KeyboardInterrupt


@contextlib.contextmanager
def heard_in_imports() -> Iterator[None]:
    """While entered, a Ctrl-C ends the command wherever it falls, whatever a library makes of it.

    Some catch what their imports raise, and in torch a half imported numpy stays behind. So further imports raise it
    again, and another exception counts as the interruption that it comes from. Finalizers can raise nothing at all, so
    one that falls there comes once more.
    """
    if not _hears_signals() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    refusal, fell, told = _Refusal(), False, sys.unraisablehook

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal fell
        if _depth_of_imports(frame):
            fell = True
            sys.meta_path.insert(0, refusal)
        raise KeyboardInterrupt

    def tell(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            _thread.start_new_thread(_press_again, ())
        else:
            told(lost)

    signal.signal(signal.SIGINT, hear)
    sys.unraisablehook = tell
    try:
        yield
    except Exception as error:
        if fell or _comes_of_interruption(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not refusal]


def _press_again() -> None:
    """Let the finalizer end, and interrupt again."""
    time.sleep(0.01)
    if hasattr(signal, "pthread_kill"):  # Windows has none, nor a way to wake what sleeps
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


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
