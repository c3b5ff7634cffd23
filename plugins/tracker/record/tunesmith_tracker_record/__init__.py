"""What was predicted for a run, beside what it took: memory and time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import file_in_run
from tunesmith.types import Batch, Evaluated, Event, RunEnded, RunStarted, Saved, StepEnded, TrainingJob

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_tracker_record.measuring import Measuring


@plugin
class Record:
    """Writes `run.json` when a run ends: predicted and measured memory and time, and says how they compare.

    Later plans on this machine are corrected by it.
    """

    additive: ClassVar[bool] = True  # it counts tokens, and leaves the loss as it is

    filename: Annotated[str, file_in_run] = "run.json"  # in the run's folder
    learn: bool = True  # let later plans on this machine know how long a step took

    _plan: Any = None
    _since: float | None = None  # when the run began
    _measuring: Any = None  # a Measuring, from before the model is loaded to the end
    _told: bool = False  # that something could not be measured

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._plan, self._since = plan, time.perf_counter()

    @hookimpl(wrapper=True, trylast=True)  # when the others have imported what they need
    def load_model(self) -> Generator[None, Any, Any]:
        if self._measuring is None:
            with self._harmless():
                self._measuring = self._begin()
        return (yield)

    @hookimpl(wrapper=True)
    def fit(self, job: TrainingJob) -> Generator[None, Any, Any]:
        with self._harmless():
            if self._measuring is not None:
                self._measuring.clock.loads_no_longer()
                self._measuring.sees(job.data.train)
        return (yield)

    @hookimpl(wrapper=True)
    def compute_loss(self, model: Any, batch: Batch) -> Generator[None, Any, Any]:
        with self._harmless():
            if self._measuring is not None and getattr(model, "training", False):
                found = (value for name, value in batch.items() if name.endswith("input_ids"))
                self._measuring.clock.meets(sum(value.numel() for value in found))
        return (yield)

    @hookimpl
    def on_event(self, event: Event) -> None:
        with self._harmless():
            self._hear(event)

    def _hear(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._measuring = self._measuring or self._begin()
            self._measuring.starts(event.output_dir / self.filename, event.resumed_from)
        elif self._measuring is None:
            return
        elif isinstance(event, StepEnded):
            self._measuring.step_ended()
        elif isinstance(event, Evaluated | Saved):
            self._measuring.clock.was_interrupted()
        elif isinstance(event, RunEnded):
            measuring, self._measuring = self._measuring, None
            said = measuring.ends(event.status, self.learn)
            if said:
                logger.info(said)

    def _begin(self) -> Measuring:
        from tunesmith_tracker_record.measuring import Measuring

        return Measuring(self._plan, self._since)

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Whatever cannot be measured, the run goes on; it is said once."""
        try:
            yield
        except Exception as error:
            if not self._told:
                self._told = True
                logger.warning("%s is not complete: %s: %s", Path(self.filename), type(error).__name__, error)
