"""How many steps a run has, and how often it stops to evaluate and to write, before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.working import Pauses

from tunesmith_trainer_transformers.step_size import shares_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers


def with_duration(options: Transformers, estimate: Estimate, plan: Plan) -> Estimate:
    """The estimate with its steps, where they are known; its micro-batches must have been set."""
    adapter, processes = plan.traits("adapter"), shares_of(plan, estimate)
    of_epoch = _steps_of_epoch(estimate, processes)
    steps = options.max_steps if options.max_steps > 0 else None
    if steps is None and of_epoch:
        steps = math.ceil(options.num_train_epochs * of_epoch)
    made = replace(estimate, steps=steps, processes=processes)
    epochs = steps / of_epoch if steps and of_epoch else options.num_train_epochs
    evaluations = _evaluations(options, estimate, steps, epochs)
    written = _written(options, steps, epochs, evaluations)
    most = written if options.save_total_limit is None else options.save_total_limit + options.load_best_model_at_end
    whole = not getattr(adapter, "beside", False)
    return replace(made, pauses=Pauses(evaluations, written, min(written, most), whole))


def _steps_of_epoch(estimate: Estimate, processes: int) -> int | None:
    if not estimate.data.examples:
        return None
    if estimate.of_step:  # however many of them go through at once
        return math.ceil(estimate.data.examples / (processes * estimate.of_step))
    batches = math.ceil(estimate.data.examples / (processes * max(estimate.sequences, 1)))
    return math.ceil(batches / max(estimate.accumulated, 1))


def _evaluations(options: Transformers, estimate: Estimate, steps: int | None, epochs: float) -> int:
    strategy = options.eval_strategy
    if strategy == "auto":
        strategy = "epoch" if estimate.data.held_out else "no"
    found = int(options.eval_on_start)
    if strategy == "steps":
        found += (steps or 0) // options.eval_steps
    return found + (math.ceil(epochs) if strategy == "epoch" else 0)


def _written(options: Transformers, steps: int | None, epochs: float, evaluations: int) -> int:
    """Checkpoints, with the one at the end that every strategy but `no` writes."""
    if options.save_strategy == "no" or not steps:
        return 0
    if options.save_strategy == "steps":
        return math.ceil(steps / options.save_steps)
    return math.ceil(epochs) if options.save_strategy == "epoch" else evaluations
