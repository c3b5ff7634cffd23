"""What goes wrong in a run, named while it goes wrong: a warning with the step, what is so, and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tunesmith import hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.ranges import file_in_run
from tunesmith.types import Evaluated, Event, Problem, RunEnded, RunStarted, StepEnded

from tunesmith_tracker_guard.history import Facts
from tunesmith_tracker_guard.limits import Limits
from tunesmith_tracker_guard.rule import Finding
from tunesmith_tracker_guard.stopping import interrupt
from tunesmith_tracker_guard.watch import RULES, Watch, moves, trains_prompts

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Guard(Limits):
    """Warns by name of what goes wrong in a run: losses, gradients, learning rates, data, rewards.

    It looks at what is logged, and at no other step.
    """

    # stop the run, resumably, as the first Ctrl-C does, when anything is found
    stop: bool = False
    # stop it when one of these is found: [loss_rises, zero_gradient]
    stop_on: list[str] = []
    # what is not looked for: [overfitting]
    ignore: list[str] = []
    # in the run's folder: a JSON object per warning
    filename: Annotated[str, file_in_run] = "guard.jsonl"

    _watch: Watch | None = None
    _generates: bool = False  # the stage learns from its own answers
    _masks: bool = False  # the stage leaves prompts out

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return [
            Problem(f"tracker.guard.{option}", f"{name} is nothing that it looks for.", choices(name, RULES))
            for option, names in (("stop_on", self.stop_on), ("ignore", self.ignore))
            for name in names
            if name not in RULES
        ]

    @hookimpl
    def configured(self, plan: Plan) -> None:
        traits = plan.traits("stage")
        self._generates = bool(traits and traits.generates)
        self._masks = bool(traits and traits.reads and traits.reads != ("text",))

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._watch = self._begin(event)
            case StepEnded() if event.metrics and self._watch is not None:
                self._tell(self._watch.step_ended(event))
            case Evaluated() if self._watch is not None:
                self._tell(self._watch.evaluated(event))
            case RunEnded():
                self._watch = None

    def _begin(self, event: RunStarted) -> Watch:
        masks = self._masks and not trains_prompts(event.config)
        facts = Facts(self._generates, masks, moves(event.config), event.total_steps)
        return Watch(self, facts, event.output_dir / self.filename, event.resumed_from)

    def _tell(self, findings: list[Finding]) -> None:
        """Warn, and stop where that was asked for: once, for a second signal would end the run at once."""
        for finding in findings:
            logger.warning("guard: %s", finding)
        wanted = [each.name for each in findings if self.stop or each.name in self.stop_on]
        if wanted and self._watch is not None and not self._watch.stopped:
            self._watch.stopped = True
            interrupt(", ".join(wanted))
