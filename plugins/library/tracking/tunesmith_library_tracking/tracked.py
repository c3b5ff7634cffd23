"""The options that all trackers have that keep a run with a program, and what they do with events."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import hookimpl
from tunesmith.ranges import at_least, between
from tunesmith.types import Event, Problem, RunEnded, RunStarted

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_library_tracking.sink import Sink
    from tunesmith_library_tracking.writing import Writer


@dataclass(eq=False, kw_only=True)
class Tracked:
    """A tracker that keeps runs with a program; it says with which, and gives a `Sink`."""

    program: ClassVar[str]  # as the plugin is called
    package: ClassVar[str]  # what is imported
    install: ClassVar[str]  # the command that brings it

    run_name: str | None = None  # of the run; null is the name of its folder
    system_seconds: Annotated[float, between(0, 86_400)] = 15.0  # seconds between samples of CPU, RAM, GPUs; 0 is none
    # of each evaluation, in its table; all are in the run's folder
    examples: Annotated[int, at_least(0, most=100_000)] = 100
    # seconds that the end of a run waits for the last records
    wait_seconds: Annotated[float, between(0, 86_400)] = 60.0

    _writer: Any = None  # the Writer of a run that goes on

    def sink(self) -> Sink:
        """Where a run is kept; a fresh one for each run. Light: what takes long belongs into `begin`."""
        raise NotImplementedError

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        key = f"tracker.{self.program}"
        if importlib.util.find_spec(self.package) is None:
            return [Problem(key, f"{key} writes with {self.package}, which is not installed.", self.install)]
        return []

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._end(RunEnded("interrupted"))
                self._writer = self._begun(event)
            case RunEnded():
                self._end(event)
            case _ if self._writer is not None:
                self._writer.tell(event)

    def _begun(self, event: RunStarted) -> Writer:
        from tunesmith_library_tracking.writing import Writer

        name = self.run_name or event.output_dir.resolve().name
        seconds, examples = self.system_seconds, self.examples
        return Writer(self.program, self.sink(), event, name=name, system_seconds=seconds, examples=examples)

    def _end(self, event: RunEnded) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.end(event, self.wait_seconds)
