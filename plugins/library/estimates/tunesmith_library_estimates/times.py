"""How long a whole run takes, and what it writes, of an estimate that all plugins have added to."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.learned import known
from tunesmith_library_estimates.roofline import (
    Terms,
    can_tell,
    evaluation,
    examples_of_a_step,
    mean_length,
    of_work,
    training_step,
)

_STARTING = 10.0  # seconds of imports and of looking at data, where no run here has told
_READING, _WRITING = 1e9, 0.5e9  # bytes/s of a disk: a guess


@dataclass(frozen=True)
class Times:
    """Seconds, by what they pass with; None where nobody knows how long the run is."""

    loading: float  # until the first step
    step: float  # of a step; 0 where nothing is trained
    steps: int | None
    training: float | None  # of all steps
    evaluation: float | None
    other: float | None  # of passes before or after the training
    saving: float | None
    tokens: float | None  # that are trained on, of all processes, those of each epoch
    bound: str  # what takes the most of a step
    runs: (
        int  # of this machine that the figures are corrected by; 0: they are by published ones, right to a factor of 2
    )

    @property
    def total(self) -> float | None:
        """All of it."""
        if self.training is None:
            return None
        return self.loading + self.training + sum(part or 0.0 for part in (self.evaluation, self.other, self.saving))


def time_of(estimate: Estimate) -> Times | None:
    """How long a run takes; None where it is not known how fast the device is, or what the model costs."""
    if not can_tell(estimate.machine) or not estimate.flops_per_token:
        return None
    told = known(estimate)
    weights = sum(weight.bytes for weight in estimate.weights)
    loading = told.loading or _STARTING + weights / _READING
    once = told.applied(_once(estimate)).total
    steps = estimate.steps
    if not steps:
        return Times(loading, 0.0, None, None if steps is None else 0.0, None, once, None, None, "", told.runs)
    step = told.applied(training_step(estimate))
    evaluations = estimate.pauses.evaluations
    tokens = steps * examples_of_a_step(estimate) * mean_length(estimate) * estimate.processes
    return Times(
        loading,
        step.total,
        steps,
        steps * step.total,
        evaluations * told.applied(evaluation(estimate)).total if evaluations else 0.0,
        once,
        (estimate.pauses.written * checkpoint_size(estimate) + result_size(estimate)) / _WRITING,
        tokens,
        step.bound,
        told.runs,
    )


def _once(estimate: Estimate) -> Terms:
    """What is computed once in a run."""
    found = Terms(0, 0, 0)
    for work in estimate.work.values():
        if work.per == "run":
            found = found + of_work(work, estimate.machine, estimate.precision)
    return found


def result_size(estimate: Estimate) -> float:
    """Bytes of the weights that a training writes, whole."""
    saved = [weight for weight in estimate.weights if estimate.pauses.whole or weight.trained]
    return sum(weight.count * weight.bits / 8 for weight in saved)


def checkpoint_size(estimate: Estimate) -> float:
    """Bytes of a checkpoint: those weights, and the optimizer's states of all processes."""
    trained = [weight for weight in estimate.weights if weight.trained]
    here = sum(weight.bytes for weight in trained)
    parts = sum(weight.count * weight.bits / 8 for weight in trained) / here if here else 1.0
    states = sum(each.bytes for each in estimate.memory.values() if each.of == "states" and "save" in each.phases)
    return result_size(estimate) + parts * states


def with_files(estimate: Estimate) -> Estimate:
    """The estimate of a training with what it writes: checkpoints that are kept, and its result."""
    kept = estimate.pauses.kept
    made = estimate.storing("checkpoints", kept * checkpoint_size(estimate)) if kept else estimate
    return made.storing("result", result_size(estimate)) if estimate.trained else made
