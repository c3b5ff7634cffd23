"""Starts the jobs that wait as their devices come free, while a server is there; several servers may do so at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith import TunesmithError

from tunesmith_library_studio.jobs.scheduling import Turn, turns
from tunesmith_library_studio.jobs.starting import start
from tunesmith_library_studio.jobs.store import Store

if TYPE_CHECKING:
    from tunesmith_library_studio.devices import Devices

_LOOK = 1.0  # seconds between two looks
logger = logging.getLogger("tunesmith")


class Queue:
    """Looks once a second, and when it is woken."""

    def __init__(self, store: Store, devices: Devices) -> None:
        self._store, self._devices = store, devices
        self._ends, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Start nothing any more."""
        self._ends.set()
        self._woken.set()
        self._thread.join(5)

    def wake(self) -> None:
        """Have it look now."""
        self._woken.set()

    def advance(self, only: Collection[str] | None = None) -> None:
        """Start what may start, and say of the rest what it waits for.

        Args:
            only: ids of jobs that are looked at; all of them by default.

        Raises: TunesmithError where another server has the jobs for too long.
        """
        waiting = {job.id for job in self._store.all() if job.state == "queued"}
        if not (waiting if only is None else waiting & set(only)):
            return
        free = self._devices.free_memory()
        with self._store.changing():
            for turn in turns(self._store.all(), free, self._store.rules):
                if only is None or turn.job.id in only:
                    self._take(turn)

    def _look(self) -> None:
        while not self._ends.is_set():
            try:
                self.advance()
            except Exception as error:  # such as a full disk: the queue goes on when there is room again
                logger.warning("the queue of jobs: %s", error)
            self._woken.wait(_LOOK)
            self._woken.clear()

    def _take(self, turn: Turn) -> None:
        job = turn.job
        if turn.starts:
            begun = replace(job, devices=list(turn.devices), started=time.time(), why="", reason={})
            self._store.keep(begun)
            try:
                start(begun, self._store.folder / job.id)
            except TunesmithError as error:
                self._store.keep(replace(job, ended=time.time(), why=str(error), reason={}))
        elif turn.fails:
            self._store.keep(replace(job, ended=time.time()).because(turn.why))
        elif turn.why != job.reason:
            self._store.keep(job.because(turn.why))
