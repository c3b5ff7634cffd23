"""A thread that writes, so that no step waits for a disk or a server, and no failure stops a run."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import Evaluated, Event, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_configuration.secrets import hidden

from tunesmith_library_tracking.evaluations import tables
from tunesmith_library_tracking.naming import grouped
from tunesmith_library_tracking.sink import Sink, Start
from tunesmith_library_tracking.system import System

_MOST_WAITING = 10_000  # events; a program that is further behind than this loses some


class Writer:
    """Gives a sink the events of one run, on a thread of its own."""

    def __init__(
        self, program: str, sink: Sink, event: RunStarted, *, name: str, system_seconds: float, examples: int
    ) -> None:
        """
        Args:
            program: as the tracker is called in warnings.
            name: of the run.
            system_seconds: between two samples of the machine; 0 takes none.
            examples: most of an evaluation that its table shows.
        """
        self._program, self._sink, self._event = program, sink, event
        self._name, self._examples = name, examples
        self._system_seconds = system_seconds
        self._system: System | None = None
        self._next_sample = 0.0
        self._step = event.resumed_from
        self._waiting: queue.Queue[tuple[Event, float]] = queue.Queue(_MOST_WAITING)
        self._lost = 0  # events
        self._failed = 0  # calls of the sink
        self._off = False  # the sink did not begin
        self._thread = threading.Thread(target=self._run, name=f"tracker.{program}", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Have an event written, when its turn comes. Never waits."""
        match event:
            case StepEnded(step=step) if not event.metrics:
                self._step = max(self._step, step)
                return
            case Saved() if event.path != self._event.output_dir:  # a checkpoint
                return
        if self._off:
            return
        try:
            self._waiting.put_nowait((event, time.time()))
        except queue.Full:
            self._lost += 1

    def end(self, event: RunEnded, seconds: float) -> None:
        """Have the end written, and wait for it; what is not written by then is lost, and said to be."""
        until = time.monotonic() + seconds
        if not self._off:
            try:
                self._waiting.put((event, time.time()), timeout=seconds)
            except queue.Full:
                self._lost += 1
        self._thread.join(max(0.0, until - time.monotonic()))
        late = self._waiting.qsize() if self._thread.is_alive() else 0
        if self._thread.is_alive():
            self._warn(f"has not answered for {seconds:g} s, and the run ends without it: {late} records are lost")
        elif self._lost:
            self._warn(f"was too slow: {self._lost} records are lost")
        elif self._failed > 1:
            self._warn(f"failed {self._failed} times in all")

    # ---- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if not self._try("begin", self._begin):
            self._off = True
            return
        while True:
            try:
                event, when = self._waiting.get(timeout=self._until_sample())
            except queue.Empty:
                self._try("system metrics", self._sample)
                continue
            self._try(type(event).__name__, functools.partial(self._take, event, when))
            if isinstance(event, RunEnded):
                return

    def _begin(self) -> None:
        event, record = self._event, self._event.output_dir / "trackers" / f"{self._program}.txt"
        known_as = _kept(record) if event.resumed_from else None
        start = Start(event.output_dir, self._name, event.config, event.resumed_from, known_as)
        called = self._sink.begin(start)
        if called is not None and called != known_as:
            record.parent.mkdir(parents=True, exist_ok=True)
            with replacing(record) as draft:
                draft.write_text(f"{called}\n", encoding="utf-8")
        if self._system_seconds:
            self._system = System()
            self._next_sample = time.monotonic() + min(1.0, self._system_seconds)

    def _take(self, event: Event, when: float) -> None:
        self._step = max(self._step, getattr(event, "step", 0))
        match event:
            case StepEnded():
                self._sink.log(event.step, grouped({"epoch": event.epoch, **event.metrics}), when)
            case Evaluated():
                self._sink.log(event.step, grouped(event.metrics), when)
                for table in tables(self._event.output_dir, event.step, self._examples):
                    self._sink.table(table)
            case Saved():
                self._sink.result(event.path)
            case RunEnded():
                if self._system is not None:
                    self._try("system metrics", self._sample)
                self._sink.end(event.status, grouped(event.metrics))

    def _until_sample(self) -> float | None:
        return max(0.0, self._next_sample - time.monotonic()) if self._system is not None else None

    def _sample(self) -> None:
        self._next_sample = time.monotonic() + self._system_seconds
        if self._system is not None:
            numbers = {f"system/{name}": value for name, value in self._system.sample().items()}
            self._sink.log(self._step, numbers, time.time())

    def _try(self, what: str, call: Callable[[], Any]) -> bool:
        """Whether a call went well; the first that does not is warned of."""
        try:
            call()
        except Exception as error:
            self._failed += 1
            if self._failed == 1:
                self._warn(f"failed at {what}, the run goes on: {type(error).__name__}: {error}")
            return False
        return True

    def _warn(self, message: str) -> None:
        logger.warning("tracker.%s %s", self._program, hidden(message))


def _kept(record: Path) -> str | None:
    """What a program called the run whose record this is."""
    try:
        return record.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
