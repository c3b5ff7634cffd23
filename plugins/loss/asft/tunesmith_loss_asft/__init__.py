"""Anchored fine-tuning (Zhu et al. 2025, arXiv 2509.23753): dynamic fine-tuning, held near a reference model.

L = Σ_t -sg(p_t) log p_t + alpha · KL(p_reference ‖ p)_t. The first term is that of `loss=dft`; without an anchor it
lets the model drift away from where it began.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import at_least, path_like
from tunesmith.types import Batch, LoadModel, LossOutput, Problem, Requirement, TrainingJob
from tunesmith_library_training.token_loss_plugin import TokenLossPlugin
from tunesmith_library_weights.folders import fetched, reference_problems

if TYPE_CHECKING:
    import torch
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class AnchoredFineTuning(TokenLossPlugin):
    """Dynamic fine-tuning plus the divergence of each trained token from a frozen reference model."""

    alpha: Annotated[float, at_least(0, most=1_000_000)] = 0.1  # how much the divergence counts
    # address of the reference model; null is the model as it is before training
    reference: Annotated[str | None, path_like] = None
    reference_adapter: Annotated[str | None, path_like] = None  # folder of a run whose adapter the reference has

    _trained: str = ""  # address of the model that is trained
    _trained_adapter: str | None = None  # folder of the adapter whose training goes on
    _loaded: Any = None  # the reference, when it is a model of its own

    @hookimpl
    def requires(self) -> list[Requirement]:
        return fetched({"loss.reference": self.reference, "loss.reference_adapter": self.reference_adapter})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = [*super().check(plan), *reference_problems(self.reference, self.reference_adapter, "loss")]
        by_deepspeed = getattr(plan.traits("parallel"), "spreads", "") == "deepspeed"
        if by_deepspeed or plan.get("trainer.fsdp") or plan.get("trainer.deepspeed"):
            spreads = "trainer.fsdp" if plan.get("trainer.fsdp") else "deepspeed"
            message = f"loss=asft asks a reference beside the model that is trained, which {spreads} has in pieces."
            problems.append(Problem("loss", message, "parallel=fsdp or ddp, or loss=dft"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        super().configured(plan)
        self._trained = plan.get("model.path", "")
        self._trained_adapter = plan.get("adapter.path")

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_reference

        return estimate_reference(self, estimate, plan)

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> None:
        from tunesmith_library_weights.switching import begins_as_base

        address, adapter = self.reference or self._trained, self.reference_adapter
        if self.reference is None and adapter is None:
            if begins_as_base(job.model):
                announce("reference", "the model without its adapter", "loss.reference is not given")
                return
            adapter = self._trained_adapter
        announce("reference", address, "a second model in memory")
        self._loaded = load(address, adapter=adapter)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        from .reference import reference_logits

        beside = reference_logits(model, self._loaded, batch)
        function = functools.partial(anchored_loss, alpha=self.alpha)
        return token_loss(model, batch, function, self._chunk_size, beside)


def anchored_loss(
    logits: torch.Tensor, labels: torch.Tensor, reference_logits: torch.Tensor, alpha: float
) -> torch.Tensor:
    """-sg(p) log p + alpha · KL(reference ‖ model) of each label: (K, V) fp32, (K,), (K, V) fp32 -> (K,)."""
    from torch.nn.functional import kl_div

    log_probabilities = logits.log_softmax(-1)
    chosen = log_probabilities.gather(1, labels[:, None])[:, 0]
    divergence = kl_div(log_probabilities, reference_logits.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    return -chosen.exp().detach() * chosen + alpha * divergence
