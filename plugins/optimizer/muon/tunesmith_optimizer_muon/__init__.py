"""Muon: orthogonalised momentum for the hidden matrices, AdamW for everything else.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; scaled as in Liu et al. 2025, "Muon is
Scalable for LLM Training" (arXiv 2502.16982).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import OptimizerSettings, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Muon:
    """Muon for the matrices of the hidden layers, AdamW for the other weights."""

    momentum: float = 0.95  # decay of the mean of the gradients
    nesterov: bool = True  # look one step ahead with the momentum
    ns_steps: int = 5  # Newton-Schulz iterations that make a momentum orthogonal
    # size of the updates: match_rms_adamw is 0.2 √max(out, in), as long as AdamW's; original is √max(1, out / in)
    scaling: Literal["match_rms_adamw", "original"] = "match_rms_adamw"
    adamw_learning_rate: float | None = None  # peak learning rate of the AdamW part; null is trainer.learning_rate

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = []
        for option in ("fsdp", "deepspeed"):
            if plan.get(f"trainer.{option}"):
                message = f"optimizer=muon makes whole matrices orthogonal, and trainer.{option} cuts them in pieces."
                found.append(Problem(f"trainer.{option}", message, f"trainer.{option}=null, or another optimizer"))
        if not 0 <= self.momentum < 1:
            message = f"optimizer.momentum={self.momentum} is no decay."
            found.append(Problem("optimizer.momentum", message, "possible: from 0 to below 1"))
        if not 0 < self.ns_steps < 100:
            message = f"optimizer.ns_steps={self.ns_steps} is out of range."
            found.append(Problem("optimizer.ns_steps", message, "possible: 1 to 99; 5 is usual"))
        return found

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        import torch

        from .together import Together, divide

        hidden, matrices, vectors = divide(model)
        announce("muon", f"{len(hidden)} hidden matrices", f"{len(matrices) + len(vectors)} others by AdamW")
        rate = self.adamw_learning_rate
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
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
        if matrices or vectors:
            parts.append(
                torch.optim.AdamW(
                    [group for group in groups if group["params"]],
                    lr=settings.learning_rate if rate is None else rate,
                    betas=(settings.adam_beta1, settings.adam_beta2),
                    eps=settings.adam_epsilon,
                )
            )
        return Together(parts)
