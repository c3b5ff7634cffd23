"""Estimating: the plugins of a plan say, one after the other, what they cost. Nothing is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pluggy
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import Overrides, compose
from tunesmith.planning import Plan, Selected, refuse
from tunesmith_library_weights.patterns import matches_any

from tunesmith_library_estimates.at_once import settled_at_once
from tunesmith_library_estimates.estimation import PHASES, Estimate, Phase
from tunesmith_library_estimates.machines import Machine, machine_at_hand
from tunesmith_library_estimates.own_memory import with_own_memory
from tunesmith_library_estimates.room import AMPLY
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_estimates.times import with_files
from tunesmith_library_estimates.training import passes
from tunesmith_library_estimates.working import Extent

if TYPE_CHECKING:
    from tunesmith.pipeline import Config

AUTO = "precision=auto is taken for bf16"
"""What is said until the model's plugin knows better."""

_PHASES: dict[str, tuple[Phase, ...]] = {
    "train": PHASES,
    "export": ("load", "save"),
    "eval": ("load", "forward", "generate"),
}

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
    plan, problems, _ = examine(compose(config, overrides, catalog), command, catalog)
    refuse(problems, plan.origins)
    return estimated(plan, machine)


def estimated(plan: Plan, machine: Machine | None = None, data: Extent | None = None) -> Estimate:
    """What the plugins of a plan that is right add up to, in the order of the kinds of a run.

    Args:
        machine: that the run would be on; None is the one at hand.
        data: what is trained on, where that is known better than by the plan: of a run that has encoded it.
    """
    first = begun(plan, machine)

    def ask(at_once: int) -> Estimate:
        made = replace(first, at_once=at_once)
        for item in plan.selected:
            made = asked(item, made, plan)
            if data is not None and item.entry.kind == "data":
                made = replace(made, data=replace(data, held_out=made.data.held_out, learned=made.data.learned))
        return ended(made, plan)

    return settled_at_once(ask)


def begun(plan: Plan, machine: Machine | None) -> Estimate:
    """The estimate that the first plugin is given."""
    machine = machine_at_hand(bool(plan.get("trainer.use_cpu"))) if machine is None else machine
    precision, phases = plan.run.precision, _PHASES.get(plan.command, ("load", "generate"))
    if precision != "auto":
        return Estimate(precision, machine=machine, phases=phases)
    if machine.flops and machine.device != "cpu":  # a device computes in bf16, or its figures have none
        return Estimate("bf16" if "bf16" in machine.flops else "fp32", machine=machine, phases=phases)
    made = Estimate("bf16", machine=machine, phases=phases)
    return made if plan.command == "export" else made.without(AUTO)  # which has weights as the files have them


def asked(item: Selected, estimate: Estimate, plan: Plan) -> Estimate:
    """The estimate as one plugin leaves it, or with what it does not say."""
    manager = pluggy.PluginManager("tunesmith")
    manager.register(item.instance)
    hook = getattr(manager.hook, "estimate", None)  # there where the plugin implements it
    answers = [] if hook is None else hook(estimate=estimate, plan=plan)
    if answers:
        return cast("Estimate", answers[-1])
    if item.entry.kind not in COSTLY:
        return estimate
    made = estimate.without(f"{item.entry.address} does not say what it costs")
    return _linear_layers_alone(made, item.instance) if item.entry.kind == "quantizer" else made


def ended(estimate: Estimate, plan: Plan) -> Estimate:
    """The estimate that the last plugin gave, with what only the whole tells."""
    estimate = _merging_what_fits(_keeping_what_fits(with_own_memory(estimate)))
    if plan.command == "train":
        estimate = with_files(estimate)
    if plan.command != "train" or not estimate.weights or estimate.trained:
        return estimate
    made = replace(estimate, knows_trained=False)
    return made.without("gradients and optimizer states: no plugin says which weights are trained")


def _keeping_what_fits(estimate: Estimate) -> Estimate:
    """The estimate with activations kept, or computed again, where that is open: as a run decides it."""
    room = estimate.machine.room
    if not estimate.recomputed or room is None:
        return estimate
    needed = replace(estimate, merged=0).peak[1]
    if room.holds(needed):
        return replace(estimate, recomputed={}, shares=(*estimate.shares, "activations: kept, for they fit"))
    made = estimate.computing_again()
    costs = estimate.passes * passes(estimate, recomputes=True) / passes(estimate, recomputes=False)
    said = f"activations: computed again in the backward pass; kept, the peak would be {in_words(needed)}"
    return replace(made, passes=costs, shares=(*made.shares, said))


def _merging_what_fits(estimate: Estimate) -> Estimate:
    """The estimate with micro-batches merged to as many tokens as a run merges them to: half as many where memory does
    not hold it amply, and so on."""
    room = estimate.machine.room
    if not estimate.merged or room is None:
        return estimate
    tokens = estimate.merged
    while tokens and not room.holds(AMPLY * replace(estimate, merged=tokens).peak[1]):
        tokens //= 2
    return replace(estimate, merged=tokens)


def _linear_layers_alone(estimate: Estimate, quantizer: Any) -> Estimate:
    """Say the share of a quantizer of which nothing is known but that it takes linear layers, and leaves some out."""
    skip = [str(pattern) for pattern in getattr(quantizer, "skip_modules", ())]
    linear = [weight.name for weight in estimate.weights if weight.kind == "linear"]
    covered = {name for name in linear if not matches_any(name.removesuffix(".weight"), skip)}
    return estimate.reaching("quantizer, if it takes linear layers alone", covered)
