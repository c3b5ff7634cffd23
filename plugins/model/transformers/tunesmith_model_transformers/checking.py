"""What is wrong with the options of the balance loss, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.traits import traits_of
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def check_balance(wanted: str, coefficient: float | None, plan: Plan) -> list[Problem]:
    """A stage that adds no balance loss where it is asked for, and a coefficient of one that is off."""
    problems, stage = [], plan.traits("stage")
    if plan.command == "train" and wanted == "on" and stage is not None and not stage.balances_experts:
        message = f"model.router_aux_loss=on: stage={plan.name('stage')} has no place for it."
        others = plan.installed("stage").items()
        suited = ", ".join(sorted(name for name, cls in others if traits_of("stage", cls).balances_experts))
        advice = f"stages that have: {suited}" if suited else "leave model.router_aux_loss out"
        problems.append(Problem("model.router_aux_loss", message, advice))
    if wanted == "off" and coefficient is not None:
        message = f"model.router_aux_loss_coef={coefficient:g} has no effect with model.router_aux_loss=off."
        problems.append(Problem("model.router_aux_loss_coef", message, "leave one of them out", severity="warning"))
    return problems
