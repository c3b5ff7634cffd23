"""Muon: orthogonalised momentum for the hidden matrices, AdamW for everything else.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; scaled as in Liu et al. 2025, "Muon is
Scalable for LLM Training" (arXiv 2502.16982).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import Range, above, between
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_optimizing.checks import needs_whole_weights

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Muon:
    """Muon for the matrices of the hidden layers, AdamW for the other weights."""

    momentum: Annotated[float, Range(0, 1, high_excluded=True)] = 0.95  # decay of the mean of the gradients
    nesterov: bool = True  # look one step ahead with the momentum
    ns_steps: Annotated[int, between(1, 99)] = 5  # Newton-Schulz iterations that make a momentum orthogonal
    # size of the updates: match_rms_adamw is 0.2 √max(out, in), as long as AdamW's; original is √max(1, out / in)
    scaling: Literal["match_rms_adamw", "original"] = "match_rms_adamw"
    # peak learning rate of the AdamW part; null is trainer.learning_rate
    adamw_learning_rate: Annotated[float, above(0)] | None = None

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_whole_weights(plan, "optimizer=muon makes whole matrices orthogonal")

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        import torch
        from tunesmith_library_optimizing.groups import by_decay

        from .together import Together, divide

        hidden, others = divide(model)
        announce("muon", f"{len(hidden)} hidden matrices", f"{len(others)} others by AdamW")
        rate = self.adamw_learning_rate
        parts: list[torch.optim.Optimizer] = []
        if hidden:
            parts.append(
                torch.optim.Muon(
                    hidden,
                    lr=settings.learning_rate,
                    weight_decay=settings.weight_decay,
                    momentum=self.momentum,
                    nesterov=self.nesterov,
                    ns_steps=self.ns_steps,
                    adjust_lr_fn=self.scaling,
                )
            )
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
