"""LoRA+: AdamW with a higher learning rate for LoRA's matrices B, η_B = λ η_A.

Hayou, Ghosh and Yu 2024, "LoRA+: Efficient Low Rank Adaptation of Large Models" (arXiv 2402.12354).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.ranges import above
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.plans import suitable

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class LoraPlus:
    """AdamW that trains LoRA's matrices B faster than A."""

    # learning rate of the matrices B over that of A, λ of the paper
    ratio: Annotated[float, above(0, most=1_000_000)] = 16.0
    # peak learning rate of LoRA's matrices of embeddings
    embedding_learning_rate: Annotated[float, above(0, most=100)] = 1e-6

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        adapter = plan.traits("adapter")
        if adapter is None or adapter.low_rank:
            return []
        found = suitable(plan, "adapter", lambda traits: traits.low_rank) or "an adapter with LoRA's matrices"
        name = plan.name("adapter")
        message = f"optimizer=loraplus gives LoRA's two matrices different rates, and adapter={name} has none."
        return [Problem("optimizer", message, f"{found}, or leave the optimizer out")]

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_estimates.training import beside_adam, optimizer_bytes

        trained = [weight for weight in estimate.weights if weight.trained]
        return optimizer_bytes(estimate, lambda weight: 2 * weight.bytes, beside_adam(estimate, trained))

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        """Raises: TunesmithError when the model has no LoRA matrices."""
        import torch

        rates = {
            "slow": settings.learning_rate,
            "fast": settings.learning_rate * self.ratio,
            "vectors": settings.learning_rate * self.ratio,
            "embeddings": self.embedding_learning_rate,
        }
        members: dict[str, list[Any]] = {kind: [] for kind in rates}
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                members[_kind(name, weight.ndim)].append(weight)
        if not members["fast"] and not members["embeddings"]:
            raise TunesmithError("optimizer=loraplus finds no LoRA matrices in this model.\n  adapter=lora makes them")
        announce("loraplus", f"{rates['fast']:g} for {len(members['fast'])} matrices B", f"{rates['slow']:g} for A")
        groups = [
            {
                "params": weights,
                "lr": rates[kind],
                "weight_decay": 0.0 if kind == "vectors" else settings.weight_decay,
            }
            for kind, weights in members.items()
            if weights
        ]
        betas = (settings.adam_beta1, settings.adam_beta2)
        return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.adam_epsilon)


def _kind(name: str, ndim: int) -> str:
    """Which learning rate a weight has, by peft's names: `….lora_B.default.weight`, `….lora_embedding_A.default`."""
    if "lora_embedding_" in name:
        return "embeddings"
    if ndim <= 1:
        return "vectors"
    return "fast" if "lora_B" in name else "slow"
