"""Reward models: a language model with a scalar head learns which of two answers is preferred.

Bradley & Terry 1952; for language models Ouyang et al. 2022, "Training language models to follow instructions with
human feedback" (arXiv 2203.02155), equation 1.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, ModelSource, Problem, model_inputs
from tunesmith_library_training.answers import weighed
from tunesmith_library_training.pairs import PairStage

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class RewardModelling(PairStage):
    """Train a sequence classifier of one label to score chosen answers above rejected ones."""

    # weight of (sum of both scores)², which holds scores around 0 (arXiv 2312.09244); 0.01 is usual
    center_coefficient: Annotated[float, at_least(0, most=1_000_000)] = 0.0

    also_called: ClassVar[tuple[str, ...]] = ("rm", "reward_model", "reward_modeling")
    NAME: ClassVar[str] = "reward"
    changeable: ClassVar[tuple[str, ...]] = ("center_coefficient",)
    beside_encoding: ClassVar[tuple[str, ...]] = ("center_coefficient",)
    traits: ClassVar[StageTraits] = replace(
        PairStage.traits,
        scores=True,
        additive=True,
        metrics={"loss": False, "accuracy": True, "margin": True, "mean_reward": None},
    )

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "chat":
            return []
        message = "stage=reward trains a model that gives answers a score; it cannot answer."
        advice = "train with it: stage=ppo reward.model.path=RUN\nfor other programs: tunesmith export RUN"
        return [Problem("stage", message, advice)]

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource, processor: Any) -> Generator[None, Any, Any]:
        from tunesmith_library_chat import tokenizer_of

        from tunesmith_stage_reward.classifier import load_head, score_every_token, to_classifier, unreported

        with unreported(source.path):
            model = yield
        classifier = to_classifier(model, tokenizer_of(processor))
        load_head(classifier, source.path)
        if source.training:
            score_every_token(classifier)
        return classifier

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        import torch.nn.functional as F
        from tunesmith_library_training.by_dataset import losses_by_dataset
        from tunesmith_library_training.head import unwrap

        from tunesmith_stage_reward.classifier import last_scores

        padding = unwrap(model).config.get_text_config().pad_token_id
        scores = last_scores(model(**model_inputs(batch), use_cache=False).logits, batch, padding)
        chosen, rejected = scores.chunk(2)
        losses = -F.logsigmoid(chosen - rejected) + self.center_coefficient * (chosen + rejected) ** 2
        margins = (chosen - rejected).detach()
        metrics = {
            "accuracy": weighed((margins > 0).float(), batch).sum(),
            "margin": weighed(margins, batch).sum(),
            "mean_reward": weighed((chosen + rejected).detach(), batch).sum() / 2,
            **losses_by_dataset(losses, batch),
        }
        return LossOutput(loss=weighed(losses, batch).sum(), num_items=batch["num_items"], metrics=metrics)
