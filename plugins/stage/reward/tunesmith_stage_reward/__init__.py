"""Reward models: a language model with a scalar head learns which of two answers is preferred.

Bradley & Terry 1952; for language models Ouyang et al. 2022, "Training language models to follow instructions with
human feedback" (arXiv 2203.02155), equation 1.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import Batch, LossOutput, Problem
from tunesmith_stage_dpo.pairs import PairStage

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class RewardModelling(PairStage):
    """Train a sequence classifier of one label to score chosen answers above rejected ones."""

    # weight of (sum of both scores)², which holds scores around 0 (arXiv 2312.09244); 0.01 is usual
    center_coefficient: float = 0.0

    NAME: ClassVar[str] = "reward"
    _adapter: ClassVar[Any] = None

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        self._adapter = plan.plugin("adapter")  # type: ignore[misc]
        found = self.problems()
        if self.center_coefficient < 0:
            message = f"stage.center_coefficient={self.center_coefficient} is negative."
            found.append(Problem("stage.center_coefficient", message, "0 is none"))
        return found

    @hookimpl(wrapper=True)
    def load_model(self, processor: Any) -> Generator[None, Any, Any]:
        model = yield
        from tunesmith_stage_reward.classifier import head_name, to_classifier

        classifier = to_classifier(model, getattr(processor, "tokenizer", processor))
        self._train_whole(head_name(classifier))
        return classifier

    def _train_whole(self, head: str) -> None:
        """Have an adapter that trains beside frozen weights train and save the fresh head itself."""
        whole = getattr(self._adapter, "modules_to_save", None)
        if whole is not None and head not in whole:
            self._adapter.modules_to_save = [*whole, head]
            announce("adapter.modules_to_save", head, "the fresh head of stage.reward")

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        import torch.nn.functional as F
        from tunesmith_stage_sft.loss import model_inputs

        from tunesmith_stage_reward.classifier import last_scores

        scores = last_scores(model(**model_inputs(batch), use_cache=False).logits, batch)
        chosen, rejected = scores.chunk(2)
        losses = -F.logsigmoid(chosen - rejected) + self.center_coefficient * (chosen + rejected) ** 2
        margins = (chosen - rejected).detach()
        metrics = {
            "accuracy": (margins > 0).float().sum(),
            "margin": margins.sum(),
            "mean_reward": scores.detach().sum() / 2,
        }
        return LossOutput(loss=losses.sum(), num_items=batch["num_items"], metrics=metrics)
