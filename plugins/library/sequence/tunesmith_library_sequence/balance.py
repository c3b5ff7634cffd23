"""The balance loss of a mixture of experts over tokens that several processes have.

E Σ_i f_i P_i, with f_i the share of choices that expert i is given and P_i the mean probability that the router gives
it, over all layers and tokens (Fedus et al. 2021, arXiv 2101.03961, equations 4 to 6). Both are sums over tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tunesmith import TunesmithError


def balance_loss(
    config: Any, outputs: Any, counts: torch.Tensor, total: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The loss of the whole batch, as transformers computes it of one that a process has for itself.

    Args:
        outputs: of the model, with `router_logits`: (tokens, E) of each layer.
        counts: bool (tokens,): which tokens are no filling.
        total: the sum over processes, differentiable in what this one adds.

    Raises: TunesmithError where the model does not give what its routers said.
    """
    logits, chosen = getattr(outputs, "router_logits", None), _chosen(config)
    if not logits or chosen is None:
        raise TunesmithError(
            "parallel.sequence: this mixture of experts does not say what its routers chose, and its balance loss "
            "cannot be computed of parts.\n  write model.router_aux_loss=off"
        )
    probabilities = torch.cat([layer[counts].softmax(-1) for layer in logits])  # (layers · tokens, E)
    experts = probabilities.shape[-1]
    given = torch.zeros_like(probabilities).scatter_(1, probabilities.topk(chosen, dim=-1).indices, 1.0).detach()
    rows = probabilities.new_tensor([float(len(probabilities))])
    sums = total(torch.cat([given.sum(0), probabilities.sum(0), rows]))
    every = sums[-1].detach()
    loss: torch.Tensor = experts * (sums[:experts] / every * (sums[experts:-1] / every)).sum()
    return loss


def _chosen(config: Any) -> int | None:
    """Experts per token, by the names that configurations have for it."""
    text = config.get_text_config()
    names = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k")
    return next((getattr(text, name) for name in names if getattr(text, name, None)), None)
