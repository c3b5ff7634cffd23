"""Distributed data parallel: the processes of a run, started on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith import hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.traits import ParallelTraits
from tunesmith.types import Problem, TrainingJob
from tunesmith_library_launching.options import Processes
from tunesmith_library_sequence.options import SequenceParallel

if TYPE_CHECKING:
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Ddp(SequenceParallel, Processes):
    """Processes that each train a share of every batch on a copy of the model (Li et al. 2020, arXiv 2006.15704).

    The trainer wraps the model; this starts the processes and sees to their end. On several machines the same command
    is given on each, with its own `node_rank`.
    """

    @property
    def traits(self) -> ParallelTraits:
        return ParallelTraits(processes=self.total, alike=self.sharing(self.total))

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return [*self.process_problems(plan), *self.sequence_problems(plan)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_copies

        return estimate_copies(self, estimate)

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        return self.start(command)

    @hookimpl
    def place(self, model: Any, job: TrainingJob) -> Any:
        """Raises: TunesmithError when the model's sequences cannot be shared as asked."""
        self.share_sequences(model)
        return model
