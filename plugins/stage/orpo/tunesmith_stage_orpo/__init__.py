"""Odds-ratio preference optimisation: learn the chosen answer, and raise its odds over the rejected, in one stage.

Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model" (arXiv 2403.07691).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput
from tunesmith_library_training.answers import LogProbStage, weighed
from tunesmith_library_training.metrics import PAIR_METRICS
from tunesmith_library_training.pairs import PairStage, pair_metrics


@plugin
class OddsRatioPreference(PairStage, LogProbStage):
    """Learn chosen answers and avoid rejected ones (rows with `chosen` and `rejected`), without a reference model."""

    # weight of the odds ratio beside the chosen answer's own loss; the paper's λ
    beta: Annotated[float, at_least(0, most=1_000_000)] = 0.1
    # weight of the chosen answer's own loss per token, 1 in the paper
    sft_alpha: Annotated[float, at_least(0, most=1_000_000)] = 1.0

    NAME: ClassVar[str] = "orpo"
    changeable: ClassVar[tuple[str, ...]] = ("beta", "sft_alpha")
    beside_encoding: ClassVar[tuple[str, ...]] = ("beta", "sft_alpha")
    traits: ClassVar[StageTraits] = replace(
        PairStage.traits,
        additive=True,
        metrics={**PAIR_METRICS, "nll_loss": False, "log_odds_ratio": True, "log_odds_chosen": True},
    )

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.by_dataset import losses_by_dataset
        from tunesmith_library_training.log_probs import sequence_log_probs

        from tunesmith_stage_orpo.loss import log_odds, odds_ratio_loss

        policy = sequence_log_probs(model, batch, self.loss_chunk_size)
        chosen, rejected = policy.means.chunk(2)
        ratio = odds_ratio_loss(chosen, rejected)
        losses = self.beta * ratio - self.sft_alpha * chosen
        loss = weighed(losses, batch).sum() + policy.routing_loss * batch["num_items"]
        metrics = {
            **losses_by_dataset(losses, batch),
            **policy.routing,
            **pair_metrics(self.beta * policy.means, policy.means, batch),
            "nll_loss": -weighed(chosen.detach(), batch).sum(),
            "log_odds_ratio": -weighed(ratio.detach(), batch).sum(),
            "log_odds_chosen": weighed((log_odds(chosen) - log_odds(rejected)).detach(), batch).sum(),
        }
        return LossOutput(loss=loss, num_items=batch["num_items"], metrics=metrics)
