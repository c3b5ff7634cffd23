"""What a reward model takes beside the model that is trained: its weights, and a pass over each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.models import weights_at
from tunesmith_library_estimates.working import Work

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_reward_model import RewardModel

_BITS = {"bf16": 16, "fp16": 16, "fp32": 32}


def estimate_judge(options: RewardModel, estimate: Estimate, plan: Plan) -> Estimate:
    """Add its weights, all through the run, where it computes on the same device."""
    weights = weights_at(options.path, _BITS.get(options.precision), plan)
    if weights is None:
        return estimate.without(f"the reward model {options.path}: no config.json that is known is at hand")
    body = [weight for weight in weights if weight.kind != "head"]  # a score of one number in its place
    matrices = sum(weight.count for weight in body if weight.is_matrix)
    elsewhere = options.device == "cpu" and estimate.machine.device not in ("", "cpu")
    size = sum(weight.bytes for weight in body)
    made = estimate.plus("reward model", Memory(size, of="weights", on_host=elsewhere))
    answers = estimate.answers
    tokens = answers.in_step * min(answers.length, options.max_length)
    return made.doing("scores of the reward model", Work(flops=2.0 * matrices * tokens, per="step"))
