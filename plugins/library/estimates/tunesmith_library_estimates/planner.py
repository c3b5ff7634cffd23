"""The planner: the figures of a plan, and what would make it fit, for `tunesmith plan` and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pluggy
from tunesmith.planning import Plan
from tunesmith.types import Problem

from tunesmith_library_estimates.advice import Advised, advised
from tunesmith_library_estimates.estimating import estimated
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.times import Times, time_of
from tunesmith_library_estimates.trying import Trials
from tunesmith_library_estimates.verdict import verdict
from tunesmith_library_estimates.wording import advice, conclusion, lines

Examined = tuple[Plan, list[Problem], pluggy.PluginManager]
Examine = Callable[[Sequence[str]], Examined]
"""The plan with overrides behind the present ones."""


@dataclass(frozen=True)
class Figures:
    """What a run will need, and the changes that make it fit where it does not."""

    estimate: Estimate
    changes: tuple[Advised, ...] = ()

    def lines(self) -> Iterator[str]:
        """As text, the conclusion last."""
        yield from lines(self.estimate)
        yield conclusion(self.estimate)
        yield from advice(self.estimate, self.changes)

    def told(self) -> dict[str, Any]:
        """For programs: bytes, seconds."""
        made, found = self.estimate, verdict(self.estimate)
        changes = [
            {
                "overrides": list(item.change.overrides),
                "cost": item.change.cost,
                "costs": item.change.costs,
                "peak": item.found.peak,
            }
            for item in self.changes
        ]
        return {
            "machine": made.machine.name,
            "device": made.machine.device,
            "parameters": made.parameters,
            "trained": made.trained if made.knows_trained else None,
            "tokens_of_a_pass": made.tokens,
            "memory": {phase: made.bytes(phase) for phase in made.phases},
            "host": {phase: made.bytes(phase, on_host=True) for phase in made.phases} if made.host_peak else {},
            "peak": {"phase": made.peak[0], "bytes": made.peak[1]},
            "fits": None if found is None else found.fits,
            "room": None if found is None else {"total": found.room.total, "share": found.room.share},
            "conclusion": conclusion(made),
            "changes": changes,
            "time": _told(time_of(made)),
            "data": {"examples": made.data.examples, "tokens": made.data.tokens, "source": made.data.source},
            "disk": dict(made.disk),
            "shares": list(made.shares),
            "unknown": list(made.unknown),
        }


def figures(examine: Examine, machine: Machine | None = None) -> Figures:
    """The figures of a configuration that is right.

    Args:
        machine: that it would run on; None is the one at hand.
    """
    plan = examine(())[0]
    trials = Trials(plan, machine)
    found = verdict(trials.estimate)
    if found is None or found.fits:
        return Figures(trials.estimate)

    def trial(overrides: Sequence[str]) -> Estimate | None:
        other, problems, _ = examine(overrides)
        return None if has_errors(problems) else estimated(other, machine)

    return Figures(trials.estimate, tuple(advised(plan, trials.estimate, trials.tried, trial)))


def _told(found: Times | None) -> dict[str, Any]:
    """Times in seconds; empty where nobody knows."""
    return {} if found is None else {**dataclasses.asdict(found), "total": found.total}


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether a plan cannot be carried out."""
    return any(problem.severity == "error" for problem in problems)
