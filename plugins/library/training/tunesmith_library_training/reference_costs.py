"""What a reference costs that a stage or a loss compares with: another model's weights, and its passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Phase
from tunesmith_library_estimates.models import weights_at
from tunesmith_library_estimates.working import Work

from tunesmith_library_training.estimating import with_second_model

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_SECOND = "reference model"


@dataclass(frozen=True)
class ReferenceCosts:
    """What the options of a stage or a loss say of its reference."""

    model: str | None = None  # address of another model; None is the one that is trained, as it was
    adapter: str | None = None  # folder of an adapter on it
    once: bool = False  # asked once for all, before training begins
    passes: float = 1.0  # of the reference, for each token that is trained

    def add(self, estimate: Estimate, plan: Plan) -> Estimate:
        """The estimate with the reference's weights, where it is a second model, and the work of its passes."""
        adapter = plan.traits("adapter")
        goes_on = bool(plan.get("adapter.path"))  # then what was trained before is no part of what is switched off
        own = adapter is not None and adapter.beside and not goes_on
        made = self._working(estimate)
        if own and self.model is None and self.adapter is None:
            return made
        return self._held(made, plan)

    def _held(self, estimate: Estimate, plan: Plan) -> Estimate:
        """With another model in memory: as long as the run goes on, or until training begins."""
        made = with_second_model(estimate)
        if self.model is not None:
            bits = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16)
            weights = weights_at(self.model, int(bits), plan)
            if weights is None:
                return estimate.without(f"the reference model {self.model}: no config.json that is known is at hand")
            made = estimate.plus(_SECOND, Memory(sum(weight.bytes for weight in weights), of="weights"))
        if self.once and _SECOND in made.memory:
            phases: tuple[Phase, ...] = ("load",)
            return made.plus(_SECOND, replace(made.memory[_SECOND], phases=phases))
        return made

    def _working(self, estimate: Estimate) -> Estimate:
        flops = self.passes * forward_flops(estimate, estimate.length)
        if not self.once:
            return estimate.doing("reference", Work(flops=flops))
        data = estimate.data
        if data.examples is None or data.tokens is None:
            return estimate.without("the time of the reference's pass before training: how long the data is")
        return estimate.doing(_ONCE, Work(flops=flops * data.tokens * data.examples, per="run"))


_ONCE = "reference, before training"


def forward_flops(estimate: Estimate, length: int) -> float:
    """What a token of a sequence of so many costs in a forward pass alone."""
    return replace(estimate, length=length, passes=1.0).flops


def offers(estimate: Estimate, option: str) -> Sequence[Change]:
    """What would take a second model out of the memory of the training. Args: option: `stage.precompute_reference`."""
    held = estimate.memory.get(_SECOND)
    if held is None or "step" not in held.phases:
        return ()
    return (Change((f"{option}=true",), "nothing", "one pass of the reference before training"),)
