"""What training costs beside the model: gradients, optimizer states, activations; without torch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith.planning import Plan
from tunesmith_library_estimates.activations import activations
from tunesmith_library_estimates.bits import kept_copies
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.training import gradients, passes

from tunesmith_trainer_transformers.additive import not_additive
from tunesmith_trainer_transformers.duration import with_duration
from tunesmith_trainer_transformers.evaluating import with_evaluation
from tunesmith_trainer_transformers.offers import offers
from tunesmith_trainer_transformers.optims import estimate_optim
from tunesmith_trainer_transformers.spreading import estimate_spreading, spread_by
from tunesmith_trainer_transformers.step_size import examples_of_a_process, is_open, shares_of

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


def estimate_training(options: Transformers, estimate: Estimate, plan: Plan) -> Estimate:
    """Add what the loop needs; the optimizer's states are its plugin's to tell where there is one."""
    chosen = options.gradient_checkpointing
    recomputes = chosen not in (False, "auto")
    sequences, accumulated = _of_step(options, shares_of(plan, estimate))
    made = replace(estimate, of_step=0, padded=not options.padding_free, passes=passes(estimate, recomputes))
    if is_open(options):
        made = replace(made, of_step=sequences)
        sequences = min(estimate.at_once or sequences, sequences)
        accumulated = math.ceil(made.of_step / sequences)
    made = replace(made, sequences=sequences, accumulated=accumulated)
    made = gradients(made, accumulates=accumulated > 1)
    made = kept_copies(activations(made, recomputes, offloads=chosen == "offload"), recomputes)
    if chosen == "auto":
        again = kept_copies(activations(replace(made, memory={}), recomputes=True), recomputes=True)
        made = replace(made, recomputed=again.memory)
    if accumulated > 1 and _merges(options, plan):
        made = replace(made, merged=enough(made.machine.device))
    if not plan.uses("optimizer"):
        known = estimate_optim(made, options.optim, options.optim_args, options.optim_target_modules)
        made = made.without(f"the states of trainer.optim={options.optim}") if known is None else known
    made = estimate_spreading(options, made, plan)
    made = with_duration(options, made, plan)
    if isinstance(options.per_device_eval_batch_size, int):  # else as many as fit
        made = with_evaluation(made, options.per_device_eval_batch_size, plan.get("stage.max_length") or 0)
    return made.offering(*offers(options, made, plan))


def _of_step(options: Transformers, count: int) -> tuple[int, int]:
    """The examples of a forward pass, and how many passes make a step, in each of `count` shares."""
    each, size = examples_of_a_process(options, count), options.per_device_train_batch_size
    if not isinstance(size, int):
        return each, 1
    return size, math.ceil(each / size)


def enough(device: str) -> int:
    """Tokens of a batch from which on a device's products gain hardly anything by more.

    Args:
        device: as torch names its kind. That of CPUs was measured on one with AVX-512.
    """
    return 2_048 if device == "cpu" else 8_192


def _merges(options: Transformers, plan: Plan) -> bool:
    """Whether `budget` may find that the passes of a step can be merged."""
    possible = options.padding_free and not not_additive(plan)
    return bool(options.merge_accumulation and possible and not spread_by(options, plan))
