"""Which engines, and which processes, can answer for a stage that learns from what the model says while it is trained.

Free of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_weights.plans import suitable, unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def process_problems(plan: Plan, stage: str) -> list[Problem]:
    """What keeps the processes of a plan from drawing answers, and learning from them.

    Args:
        stage: its name, for messages.
    """
    found, name = plan.traits("parallel"), plan.name("parallel")
    if plan.command != "train" or found is None:
        return []
    problems = []
    if found.alike > 1:
        message = f"stage.{stage} draws answers on each process, and with parallel={name} {found.alike} share a batch."
        advice = "leave parallel.sequence and parallel.tensor out"
        problems.append(Problem("parallel", message, advice))
    if int(plan.get("parallel.experts", 1) or 1) > 1:
        message = f"stage.{stage} draws answers on each process, and parallel.experts sends their tokens to others."
        problems.append(Problem("parallel.experts", message, "parallel.experts=1"))
    if found.spreads == "deepspeed":
        message = f"stage.{stage} draws answers from the model, and DeepSpeed's ZeRO has cut it in pieces."
        problems.append(Problem("parallel", message, "parallel=fsdp"))
    return problems


def engine_problems(plan: Plan, stage: str) -> list[Problem]:
    """What keeps a plan's engine from drawing answers of the model that is trained.

    Args:
        stage: its name, for messages.
    """
    can, name = plan.traits("engine"), plan.name("engine")
    if plan.command != "train" or can is None:
        return []
    problems = []
    if not (can.runs_modules or can.loads_weights):
        message = f"stage.{stage} learns from what the model says while it is trained, and engine={name} has another."
        found = suitable(plan, "engine", lambda other: other.runs_modules or other.loads_weights)
        problems.append(Problem("engine", message, found or "choose another engine"))
    elif not can.runs_modules:
        message = f"engine={name} is given whole weights; the few bits of quantizer={{quantizer}} take no adapter in."
        problems += unmergeable(plan, "engine", message, "quantizer=null, or an engine that runs the trained model")
    if can.searches:
        message = f"stage.{stage} learns from answers that are drawn, and engine={name} searches for the best one."
        problems.append(Problem("engine", message, f"tunesmith plugins show engine.{name}: which option searches"))
    return problems
