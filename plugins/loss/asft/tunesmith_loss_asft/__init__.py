"""Anchored fine-tuning (Zhu et al. 2025, arXiv 2509.23753): dynamic fine-tuning, held near a reference model.

L = Σ_t -sg(p_t) log p_t + alpha · KL(p_reference ‖ p)_t. The first term is that of `loss=dft`; without an anchor it
lets the model drift away from where it began.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import Batch, LoadModel, LossOutput, Problem, TrainingJob

if TYPE_CHECKING:
    import torch
    from tunesmith.planning import Plan

_STAGES = ("sft", "pretrain")


@plugin
class AnchoredFineTuning:
    """Dynamic fine-tuning plus the divergence of each trained token from a frozen reference model."""

    alpha: float = 0.1  # how much the divergence counts
    # address of the reference model; null is the model as it is before training
    reference: str | None = None
    reference_adapter: str | None = None  # folder of a run whose adapter the reference has

    _chunk_size: ClassVar[int] = 0  # the stage's loss_chunk_size
    _trained: ClassVar[str] = ""  # address of the model that is trained
    _trained_adapter: ClassVar[str | None] = None  # folder of the adapter whose training goes on
    _loaded: ClassVar[Any] = None  # the reference, when it is a model of its own

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        self._chunk_size = plan.get("stage.loss_chunk_size", 0)  # type: ignore[misc]
        self._trained = plan.get("model.path", "")  # type: ignore[misc]
        self._trained_adapter = plan.get("adapter.path")  # type: ignore[misc]
        problems, stage = [], plan.name("stage")
        if stage not in (None, *_STAGES):
            message = f"loss=asft weighs the tokens of a text; stage={stage} does not."
            problems.append(Problem("loss", message, "stage=sft"))
        if self.alpha < 0:
            message = f"loss.alpha={self.alpha:g} drives the model away from its reference."
            problems.append(Problem("loss.alpha", message, "above 0; 0 is loss=dft"))
        if plan.get("trainer.fsdp") or plan.get("trainer.deepspeed"):
            message = "loss=asft asks the reference outside of the model that fsdp or deepspeed spreads out."
            problems.append(Problem("loss", message, "loss=dft, or train with torchrun alone"))
        return problems

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
        self._loaded = load(address, adapter=adapter)  # type: ignore[misc]

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
