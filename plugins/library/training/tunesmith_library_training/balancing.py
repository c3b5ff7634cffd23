"""The balance loss of a mixture over the examples of all processes, as one process would have it.

It is no sum over examples: the share of tokens that an expert gets, f, times the mean probability that the router gives
it, P. With f of all processes and of P each process's summand, the processes' losses add up to that of their examples
in one batch, and so do the gradients, for f has none ("global-batch" balance: Qiu et al. 2025, arXiv 2501.11873).
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tunesmith import announce

from tunesmith_library_training import head, parts, processes

_TOP_K = ("num_experts_per_tok", "top_k", "moe_top_k")  # what configurations call the experts per token

_formula: weakref.WeakKeyDictionary[torch.nn.Module, bool] = weakref.WeakKeyDictionary()
"""Whether a model's balance loss is the one that is computed here."""


def over_processes(model: Any, inputs: Mapping[str, Any], outputs: Any, num_items: Any) -> None:
    """Put this process's summand of the balance loss of all processes in the place of its own examples' loss.

    All processes call it in each training step, at the same forward pass. Evaluations, which may have other numbers of
    passes, keep to the loss of each batch.

    Args:
        model: as the trainer wrapped it.
        inputs: of the model.
        outputs: of it; their `aux_loss` is replaced by what times `num_items` adds up, over shares, to the loss of the
            whole times all items.
        num_items: of this process's batch; 0 for one that counts nothing.
    """
    base = head.unwrap(model)
    if processes.shares() == 1 or not torch.is_grad_enabled() or parts.is_divided(base):
        return
    own, logits = getattr(outputs, "aux_loss", None), getattr(outputs, "router_logits", None)
    text = base.config.get_text_config()
    top_k = next((number for name in _TOP_K if (number := getattr(text, name, None))), None)
    if not isinstance(own, torch.Tensor) or not isinstance(logits, tuple) or not isinstance(top_k, int):
        return
    chosen, chances, rows = _sums(logits, top_k, inputs.get("attention_mask"))
    if not _is_known(base, own, balance(chosen, chances, rows)):
        return
    items = float(num_items)
    told = torch.cat([chosen.double(), torch.stack([rows.double(), rows.new_tensor(items).double()])])
    every = processes.total(told if processes.leads() and items else torch.zeros_like(told))
    share = every[-1].float() / items if items else 0.0
    outputs.aux_loss = balance(every[:-2].float(), chances, every[-2].float()) * share


def balance(chosen: torch.Tensor, chances: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """E Σ f P, of sums over tokens: how often each expert was chosen, (E,), the probability that it was given, (E,)."""
    return len(chosen) * (chosen / rows * chances / rows).sum()


def _sums(
    logits: Sequence[torch.Tensor], top_k: int, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the routers' logits, (T, E) of each layer: counts of choices (E,), sums of probabilities (E,), and of rows."""
    kept = None if mask is None else mask.reshape(-1, 1).float()
    chosen = chances = rows = torch.zeros((), device=logits[0].device)
    for layer in logits:
        probabilities = layer.float().softmax(dim=-1)
        picked = torch.zeros_like(probabilities).scatter(1, probabilities.topk(top_k, dim=-1).indices, 1.0)
        weight = torch.ones_like(probabilities[:, :1]) if kept is None else kept.to(layer.device)
        chosen, chances = chosen + (picked * weight).sum(dim=0), chances + (probabilities * weight).sum(dim=0)
        rows = rows + weight.sum()
    return chosen.detach(), chances, rows


def _is_known(base: torch.nn.Module, own: torch.Tensor, computed: torch.Tensor) -> bool:
    """Whether the model's balance loss is that of `balance`, seen once, on all processes."""
    if base not in _formula:
        differs = not torch.allclose(own.detach().float(), computed.detach(), rtol=1e-2)
        _formula[base] = not processes.any_of(differs)
        if not _formula[base]:
            announce(
                "balance loss of the routers", "over each process's own examples", "the model computes another one"
            )
    return _formula[base]
