"""Dynamic fine-tuning (Wu et al. 2025, arXiv 2508.05629): the loss of a token times its probability.

Supervised fine-tuning is policy gradient with a reward of 1 / p of the token, which is large where the model is far
from the data. Multiplying by p takes that out: L = Σ_t -sg(p_t) log p_t, sg being "as a constant".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith import hookimpl, plugin
from tunesmith.types import Batch, LossOutput
from tunesmith_library_training.token_loss_plugin import TokenLossPlugin

if TYPE_CHECKING:
    import torch


@plugin
class DynamicFineTuning(TokenLossPlugin):
    """Cross entropy of each trained token times its probability, which is taken as a constant."""

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, dynamic_loss, self._chunk_size)


def dynamic_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-sg(p) log p of each label: (K, V) fp32, (K,) -> (K,)."""
    from torch.nn.functional import cross_entropy

    losses = cross_entropy(logits, labels, reduction="none")
    return losses * (-losses).exp().detach()
