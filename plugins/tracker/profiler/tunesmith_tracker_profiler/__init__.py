"""Traces of torch's profiler: which operations the steps of a run spend their time and memory in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import at_least, folder_in_run
from tunesmith.types import Event, RunEnded, RunStarted, StepEnded


@plugin
class Profiler:
    """Records some steps of a run, and writes what they did as files that Perfetto and Chrome show.

    The steps are those of the optimizer, of the main process.
    """

    folder: Annotated[str, folder_in_run] = "profile"  # of the traces, in the run's folder
    wait_steps: Annotated[int, at_least(0, most=1_000_000)] = 1  # steps before each trace that are not recorded
    warmup_steps: Annotated[int, at_least(0, most=1_000_000)] = 1  # steps then that are recorded and thrown away
    active_steps: Annotated[int, at_least(1, most=1_000_000)] = 1  # steps in a trace
    repeat: Annotated[int, at_least(0, most=1_000_000)] = 1  # how many traces; 0 is one after the other to the end
    record_shapes: bool = True  # the shapes of what operations are given
    profile_memory: bool = True  # what is allocated and freed
    with_stack: bool = False  # the lines of Python that called; slow

    _profile: Any = None
    _folder: Path = Path()
    _before: int = 0  # steps of the run before this process

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._stop()
                self._folder, self._before = event.output_dir / self.folder, event.resumed_from
                self._start()
            case StepEnded() if self._profile is not None:
                self._profile.step()
            case RunEnded():
                self._stop()

    def _start(self) -> None:
        from torch import profiler

        window = {"wait": self.wait_steps, "warmup": self.warmup_steps, "active": self.active_steps}
        self._profile = profiler.profile(
            schedule=profiler.schedule(**window, repeat=self.repeat),
            on_trace_ready=self._write,
            record_shapes=self.record_shapes,
            profile_memory=self.profile_memory,
            with_stack=self.with_stack,
        )
        self._profile.start()

    def _stop(self) -> None:
        profile, self._profile = self._profile, None
        if profile is not None:
            profile.stop()

    def _write(self, profile: Any) -> None:
        """Write what was recorded up to now, under the number of the last step in it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"to-step-{self._before + profile.step_num}.json.gz"
        profile.export_chrome_trace(str(file))
        announce("profile", file, "show it at ui.perfetto.dev")
