"""Estimating: the plugins of a plan say, one after the other, what they cost. Nothing is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pluggy
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.planning import Plan, refuse
from tunesmith.wiring import connect
from tunesmith_library_weights.patterns import matches_any

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine, machine_at_hand

if TYPE_CHECKING:
    from tunesmith.pipeline import Config

AUTO = "precision=auto is taken for bf16"
"""What is said until the model's plugin knows better."""

# The kinds whose plugins decide what a run needs; one that does not implement `estimate` leaves a gap that is named.
COSTLY = frozenset({"model", "quantizer", "adapter", "trainer", "stage", "optimizer"})


def estimate(
    config: Config = None,
    overrides: Overrides = None,
    *,
    command: str = "train",
    machine: Machine | None = None,
    catalog: Catalog | None = None,
) -> Estimate:
    """What a run will need: memory by phase, parameters, floating-point operations.

    Args:
        machine: that it would run on; None is the one at hand.

    Raises: ConfigError that lists all problems of the configuration.
    """
    plan, problems, manager = examine(compose(config, overrides, catalog), command, catalog)
    refuse(problems, plan.origins)
    return estimated(plan, manager, machine)


def estimated(plan: Plan, manager: pluggy.PluginManager | None = None, machine: Machine | None = None) -> Estimate:
    """What the plugins of a plan that is right add up to, in the order of the kinds of a run.

    Args:
        manager: has them; None has one made of them.
        machine: that the run would be on; None is the one at hand.
    """
    manager = connect(plan)[0] if manager is None else manager
    machine = machine_at_hand(bool(plan.get("trainer.use_cpu"))) if machine is None else machine
    asked = plan.run.precision
    made = Estimate("bf16" if asked == "auto" else asked, machine=machine)
    if asked == "auto":
        made = made.without(AUTO)
    for item in plan.selected:
        others = [plugin for plugin in manager.get_plugins() if plugin is not item.instance]
        answers = manager.subset_hook_caller("estimate", others)(estimate=made, plan=plan)
        for answer in answers:
            made = answer
        if not answers and item.entry.kind in COSTLY:
            made = made.without(f"{item.entry.address} does not say what it costs")
            if item.entry.kind == "quantizer":
                made = _linear_layers_alone(made, item.instance)
    if plan.command == "train" and made.weights and not made.trained:
        made = replace(made, knows_trained=False)
        made = made.without("gradients and optimizer states: no plugin says which weights are trained")
    return made


def _linear_layers_alone(estimate: Estimate, quantizer: Any) -> Estimate:
    """Say the share of a quantizer of which nothing is known but that it takes linear layers, and leaves some out."""
    skip = [str(pattern) for pattern in getattr(quantizer, "skip_modules", ())]
    linear = [weight.name for weight in estimate.weights if weight.kind == "linear"]
    covered = {name for name in linear if not matches_any(name.removesuffix(".weight"), skip)}
    return estimate.reaching("quantizer, in few bits", covered)
