"""Entropy-adaptive fine-tuning (Diao et al. 2026, arXiv 2601.02151): the loss of a token times the model's uncertainty.

Where a model is sure, and the data says something else, learning costs most of what the model knew. The weight is the
entropy of the `top_k` likeliest tokens, relative to the highest possible: L = Σ_t -sg(H_t / ln k)^alpha · log p_t.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import Batch, LossOutput
from tunesmith_library_training.token_loss_plugin import TokenLossPlugin

if TYPE_CHECKING:
    import torch


@plugin
class EntropyAdaptiveFineTuning(TokenLossPlugin):
    """Cross entropy of each trained token times the entropy of the likeliest tokens, which is taken as a constant."""

    # exponent of the entropy; 0 is plain cross entropy, more hushes sure tokens more
    alpha: Annotated[float, at_least(0, most=1_000_000)] = 1.0
    top_k: Annotated[int, at_least(2, most=10_000_000)] = 20  # likeliest tokens of which the entropy is taken

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
