"""Muon: orthogonalised momentum for the hidden matrices, AdamW for everything else.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; scaled as in Liu et al. 2025, "Muon is
Scalable for LLM Training" (arXiv 2502.16982).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, between
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_optimizing.checks import needs_whole_weights

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Muon:
    """Muon for the matrices of the hidden layers, each expert's by itself, AdamW for the other weights."""

    momentum: Annotated[float, Range(0, 1, high_excluded=True)] = 0.95  # decay of the mean of the gradients
    nesterov: bool = True  # look one step ahead with the momentum
    ns_steps: Annotated[int, between(1, 99)] = 5  # Newton-Schulz iterations that make a momentum orthogonal
    # size of the updates: match_rms_adamw is 0.2 √max(out, in), as long as AdamW's; original is √max(1, out / in)
    scaling: Literal["match_rms_adamw", "original"] = "match_rms_adamw"
    # peak learning rate of the AdamW part; null is trainer.learning_rate
    adamw_learning_rate: Annotated[float, above(0, most=100)] | None = None

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_whole_weights(plan, "optimizer=muon makes whole matrices orthogonal")

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_muon

        return estimate_muon(estimate)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        import torch
        from tunesmith_library_optimizing.groups import by_decay
        from tunesmith_library_optimizing.stacks import say_updates, stacked

        from .stacks import StackedMuon
        from .together import Together, divide

        hidden, others = divide(model)
        views = stacked(model)
        single = [weight for weight in hidden if id(weight) not in views]
        stacks = [weight for weight in hidden if id(weight) in views]
        count = len(single) + sum(views[id(weight)](weight).shape[0] for weight in stacks)
        say_updates("muon", model, {id(weight) for weight in hidden}, f"{count} matrices made orthogonal")
        options: dict[str, Any] = {
            "lr": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "ns_steps": self.ns_steps,
        }
        rate = self.adamw_learning_rate
        parts: list[torch.optim.Optimizer] = []
        if single:
            parts.append(torch.optim.Muon(single, adjust_lr_fn=self.scaling, **options))
        if stacks:
            parts.append(StackedMuon(stacks, views, self.scaling, **options))
        if others:
            parts.append(
                torch.optim.AdamW(
                    by_decay(others, settings.weight_decay),
                    lr=settings.learning_rate if rate is None else rate,
                    betas=(settings.adam_beta1, settings.adam_beta2),
                    eps=settings.adam_epsilon,
                )
            )
        return Together(parts)
