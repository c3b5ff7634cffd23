"""Entropy-adaptive fine-tuning (Diao et al. 2026, arXiv 2601.02151): the loss of a token times the model's uncertainty.

Where a model is sure, and the data says something else, learning costs most of what the model knew. The weight is the
entropy of the `top_k` likeliest tokens, relative to the highest possible: L = Σ_t -sg(H_t / ln k)^alpha · log p_t.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.types import Batch, LossOutput, Problem

if TYPE_CHECKING:
    import torch
    from tunesmith.planning import Plan

_STAGES = ("sft", "pretrain")


@plugin
class EntropyAdaptiveFineTuning:
    """Cross entropy of each trained token times the entropy of the likeliest tokens, which is taken as a constant."""

    alpha: float = 1.0  # exponent of the entropy; 0 is plain cross entropy, more hushes sure tokens more
    top_k: int = 20  # likeliest tokens of which the entropy is taken

    _chunk_size: ClassVar[int] = 0  # the stage's loss_chunk_size

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        self._chunk_size = plan.get("stage.loss_chunk_size", 0)  # type: ignore[misc]
        problems, stage = [], plan.name("stage")
        if stage not in (None, *_STAGES):
            message = f"loss=eaft weighs the tokens of a text; stage={stage} does not."
            problems.append(Problem("loss", message, "stage=sft"))
        if self.alpha < 0:
            problems.append(Problem("loss.alpha", f"loss.alpha={self.alpha:g} favours sure tokens.", "at least 0"))
        if self.top_k < 2:
            message = f"loss.top_k={self.top_k}: one token alone has no entropy."
            problems.append(Problem("loss.top_k", message, "at least 2; 20 in the paper"))
        return problems

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        function = functools.partial(adaptive_loss, alpha=self.alpha, top_k=self.top_k)
        return token_loss(model, batch, function, self._chunk_size)


def adaptive_loss(logits: torch.Tensor, labels: torch.Tensor, alpha: float, top_k: int) -> torch.Tensor:
    """-sg(H / ln k)^alpha · log p of each label: (K, V) fp32, (K,) -> (K,).

    H, in nats, is the entropy of the `top_k` highest logits' softmax; of all of them in a smaller vocabulary.
    """
    from torch.nn.functional import cross_entropy

    top_k = min(top_k, logits.shape[-1])
    log_probabilities = logits.detach().topk(top_k, dim=-1).values.log_softmax(-1)
    entropies = -(log_probabilities.exp() * log_probabilities).sum(-1)
    weights = (entropies / math.log(top_k)).clamp(min=0) ** alpha
    return weights * cross_entropy(logits, labels, reduction="none")
