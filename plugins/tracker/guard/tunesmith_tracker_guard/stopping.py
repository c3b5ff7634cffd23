"""The end of a run that can go on: what the first Ctrl-C does."""

from __future__ import annotations

import signal
import threading

from tunesmith.messages import logger


def interrupt(why: str) -> None:
    """Ask the loop to finish its step and save a checkpoint.

    The signal is sent in the main thread alone, and only where a loop listens for it: by itself it would end the
    program in the midst of a step.
    """
    listens = signal.getsignal(signal.SIGINT) not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None)
    if threading.current_thread() is not threading.main_thread() or not listens:
        logger.warning("guard: the run goes on, for its loop cannot be asked to stop here (%s)", why)
        return
    logger.warning("guard: the run stops for %s, and can go on", why)
    signal.raise_signal(signal.SIGINT)
