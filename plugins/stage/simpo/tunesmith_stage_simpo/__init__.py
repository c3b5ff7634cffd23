"""Preferences by log-probability alone: SimPO, and CPO from which it differs by length normalisation and a margin.

Meng et al. 2024, "SimPO: Simple Preference Optimization with a Reference-Free Reward" (arXiv 2405.14734); Xu et al.
2024, "Contrastive Preference Optimization" (arXiv 2401.08417).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput
from tunesmith_library_training.answers import LogProbStage, weighed
from tunesmith_library_training.metrics import PAIR_METRICS
from tunesmith_library_training.pairs import PairStage, pair_metrics

_BETA = {"simpo": 2.0, "cpo": 0.1}
_SFT_ALPHA = {"simpo": 0.0, "cpo": 1.0}


@plugin
class SimplePreference(PairStage, LogProbStage):
    """Make chosen answers likelier than rejected ones (rows with both), without a reference model."""

    loss: Literal["simpo", "cpo"] = "simpo"  # compare log-probabilities per token with a margin, or their sums
    # scale of the difference; null is 2.0 for simpo, 0.1 for cpo
    beta: Annotated[float | None, above(0, most=1_000_000)] = None
    # simpo: margin by which the scaled difference must be above 0; half of beta is usual
    gamma: Annotated[float, at_least(0, most=1_000_000)] = 1.0
    # weight of the chosen answer's own loss per token; null is 0 for simpo, 1 for cpo
    sft_alpha: Annotated[float | None, at_least(0, most=1_000_000)] = None
    # probability that a pair is labelled the wrong way round
    label_smoothing: Annotated[float, Range(0, 0.5, high_excluded=True)] = 0.0

    NAME: ClassVar[str] = "simpo"
    beside_encoding: ClassVar[tuple[str, ...]] = ("loss", "beta", "gamma", "sft_alpha", "label_smoothing")
    changeable: ClassVar[tuple[str, ...]] = (
        "beta",
        "gamma",
        "sft_alpha",
        "label_smoothing",
    )
    traits: ClassVar[StageTraits] = replace(
        PairStage.traits,
        additive=True,
        metrics={**PAIR_METRICS, "nll_loss": False},
    )

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.by_dataset import losses_by_dataset
        from tunesmith_library_training.log_probs import sequence_log_probs

        from tunesmith_stage_simpo.losses import margin_loss

        beta = _BETA[self.loss] if self.beta is None else self.beta
        sft_alpha = _SFT_ALPHA[self.loss] if self.sft_alpha is None else self.sft_alpha
        policy = sequence_log_probs(model, batch, self.loss_chunk_size)
        scores, gamma = (policy.means, self.gamma) if self.loss == "simpo" else (policy.sums, 0.0)
        losses = margin_loss(*scores.chunk(2), beta=beta, gamma=gamma, label_smoothing=self.label_smoothing)
        own = -policy.means.chunk(2)[0]
        losses = losses + sft_alpha * own
        loss = weighed(losses, batch).sum() + policy.routing_loss * batch["num_items"]
        metrics = {**pair_metrics(beta * scores, scores, batch), "nll_loss": weighed(own.detach(), batch).sum()}
        metrics |= {**losses_by_dataset(losses, batch), **policy.routing}
        return LossOutput(loss=loss, num_items=batch["num_items"], metrics=metrics)
