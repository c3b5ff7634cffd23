"""The metric that evaluations are compared by, and the end of a training in which it no longer gets better.

transformers' own callback forgets at a resumption how often it has waited. This one keeps nothing: it counts in the
history of evaluations, which a checkpoint holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class EarlyStopping(TrainerCallback):
    """Ends the training after `patience` evaluations in a row that did not make `metric_for_best_model` better."""

    def __init__(self, patience: int, threshold: float) -> None:
        self.patience, self.threshold = patience, threshold

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        name = metric_name(args)
        values = [entry[name] for entry in state.log_history if name in entry]
        waited = evaluations_without_gain(values, self.threshold, bool(args.greater_is_better))
        if waited >= self.patience and not control.should_training_stop:
            control.should_training_stop = True
            if state.is_world_process_zero:
                announce(
                    "training", f"ended at step {state.global_step}", f"{name} is no better in {waited} evaluations"
                )


def metric_name(args: TrainingArguments) -> str:
    """The metric that evaluations are compared by, as it is logged."""
    name = str(args.metric_for_best_model)
    return name if name.startswith("eval_") else f"eval_{name}"


def require_best_metric(args: TrainingArguments, metrics: Mapping[str, float]) -> None:
    """Raise a TunesmithError when the metric that evaluations are compared by is none of theirs."""
    if args.metric_for_best_model and metric_name(args) not in metrics:
        possible = [name.removeprefix("eval_") for name in metrics]
        asked = args.metric_for_best_model
        raise TunesmithError(f"trainer.metric_for_best_model={asked} is unknown.\n  {choices(asked, possible)}")


def evaluations_without_gain(values: Iterable[float], threshold: float, greater_is_better: bool) -> int:
    """How many values at the end are not more than `threshold` better than the best before them; NaN never is."""
    best, waited = -math.inf, 0
    for value in values:
        value = value if greater_is_better else -value
        if value > best + threshold:
            best, waited = value, 0
        else:
            waited += 1
    return waited
