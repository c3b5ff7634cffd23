"""Whether a run's weights are spread over its processes; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers


NO_FSDP_ON_CPU = "trainer.fsdp is accelerate's, which on a CPU trains whole copies of the model and does not say so"
FSDP_ON_CPU = "parallel=fsdp parallel.processes=2 spreads it there too"


def spread_by(options: Transformers, plan: Plan) -> str:
    """What spreads them, so that no process has the whole model: fsdp, deepspeed; empty where nothing does."""
    if options.fsdp:
        return "fsdp"
    if options.deepspeed:
        return "deepspeed"
    return str(getattr(plan.traits("parallel"), "spreads", ""))


def is_spread(options: Transformers) -> bool:
    """Whether no process has the whole model; once the plan is known."""
    return bool(options._spread) or spreads_itself(options)


def spreads_itself(options: Transformers) -> bool:
    """Whether transformers spreads the weights, and computes in the run's precision itself."""
    return bool(options.fsdp or options.deepspeed or options._of_parallel.get("deepspeed"))
