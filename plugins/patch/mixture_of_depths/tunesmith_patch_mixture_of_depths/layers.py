"""Decoder layers that process a part of the tokens: the router, the routed layer, and how a model gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache
from tunesmith import TunesmithError

from .routing import hide, positions_of, sequence_numbers, take, take_arguments, top_share

if TYPE_CHECKING:
    _Layer = nn.Module  # what a routed layer is mixed into
else:
    _Layer = object

ROUTER = "depth_router"
"""The routed layers' submodule, and so a part of its weights' names in a checkpoint."""


class Router(nn.Module):
    """Scores tokens for the choice of the top, and decides about each alone.

    Args:
        predictor: decide by a small network of its own, which learns from the choice and passes no gradient on; else by
            the sign of the score.
    """

    def __init__(self, width: int, predictor: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, width).normal_(std=0.02))
        hidden = max(1, width // 4)
        self.predictor = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, 1)) if predictor else None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores r and the logits of the decision, both (B, T), in the router's own numbers: float32."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            states = hidden_states.to(self.weight.dtype)
            scores = F.linear(states, self.weight).squeeze(-1)
            if self.predictor is None:
                return scores, scores
            return scores, self.predictor(states.detach()).squeeze(-1)


class Routed(_Layer):
    """What a routed layer does around the decoder layer that it is mixed into; set up by `route`.

    For the processed tokens P, x'_i = x_i + r_i · (layer(x_P)_i - x_i); the others keep x_i (arXiv 2404.02258,
    equation 1). Called like the layer itself. It stands around `__call__`, so that gradient checkpointing recomputes
    the layer and not the choice.
    """

    depth_router: Router
    depth_index: int
    depth_capacity: float
    depth_terms: list[torch.Tensor] | None  # where training collects (cross entropy, agreeing, tokens); None: nowhere

    def __call__(self, hidden_states: torch.Tensor, **arguments: Any) -> torch.Tensor:
        scores, logits = self.depth_router(hidden_states)
        if _cache_of(arguments) is not None:
            return self._with_cache(hidden_states, scores, logits > 0, arguments)
        mask, bounds = arguments.get("attention_mask"), arguments.get("cu_seq_lens_q")
        numbers, count = sequence_numbers(scores, mask, bounds)
        if self.training:
            chosen = top_share(scores, numbers, count, self.depth_capacity)
            self._collect(logits[numbers < count], chosen[numbers < count])
        else:
            chosen = (logits > 0) & (numbers < count)
        index, valid = positions_of(chosen)
        if not index.shape[1]:
            return hidden_states
        selected = take(hidden_states, index)
        output = self._layer(selected, **take_arguments(arguments, chosen, index, valid))
        update = self._update(selected, output, take(scores, index, behind=0), valid)
        return hidden_states.scatter_add(1, index[..., None].expand_as(update), update)

    def _layer(self, hidden_states: torch.Tensor, **arguments: Any) -> torch.Tensor:
        output = super().__call__(hidden_states, **arguments)
        if not isinstance(output, torch.Tensor):
            raise TunesmithError(f"patch.mixture_of_depths: {type(self).__name__} gives more than hidden states.")
        return output

    def _update(
        self, before: torch.Tensor, after: torch.Tensor, scores: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """What is added to the residual stream, 0 where it is not kept."""
        update = (scores[..., None] * (after - before)).to(before.dtype)
        return torch.where(kept[..., None], update, 0)

    def _collect(self, logits: torch.Tensor, chosen: torch.Tensor) -> None:
        """Keep the cross entropy of the decisions with the choice (section 3.5), for the loss."""
        if self.depth_terms is not None and torch.is_grad_enabled():
            entropy = F.binary_cross_entropy_with_logits(logits, chosen.to(logits.dtype), reduction="sum")
            agreeing = ((logits.detach() > 0) == chosen).sum()
            self.depth_terms.append(torch.stack([entropy, agreeing, agreeing.new_tensor(len(logits))]))

    def _with_cache(
        self, hidden_states: torch.Tensor, scores: torch.Tensor, chosen: torch.Tensor, arguments: dict[str, Any]
    ) -> torch.Tensor:
        """Generation: rows differ in what they skip, so all new tokens run through the layer, unless all are skipped.

        A skipped token must be no key for later ones. It leaves a key of zeros, by which the cache itself says so,
        however it is reordered or cut.
        """
        cache = _cache_of(arguments)
        if not isinstance(cache, DynamicCache):
            message = f"patch.mixture_of_depths does not know what {type(cache).__name__} keeps."
            raise TunesmithError(f"{message}\n  generate with transformers' dynamic cache, or without: use_cache=False")
        rows, width = chosen.shape
        kept: Any = cache.layers[self.depth_index] if self.depth_index < len(cache.layers) else None
        if kept is not None and kept.is_initialized:
            past = kept.keys.ne(0).any(-1).any(1)
            if not bool(chosen.any()):
                keys, values = (
                    part.new_zeros(rows, part.shape[1], width, part.shape[3]) for part in (kept.keys, kept.values)
                )
                cache.update(keys, values, self.depth_index)
                return hidden_states
        else:
            past = chosen[:, :0]
        mask = arguments.get("attention_mask")
        if mask is None:
            mask = chosen.new_ones(rows, 1, width, past.shape[1] + width).tril(past.shape[1])
        mask = hide(mask, torch.cat([past, chosen], dim=1))
        output = self._layer(hidden_states, **arguments | {"attention_mask": mask})
        kept = cache.layers[self.depth_index]
        new = min(width, kept.keys.shape[2])
        skipped = F.pad(~chosen[:, width - new :], (kept.keys.shape[2] - new, 0))
        kept.keys = kept.keys.masked_fill(skipped[:, None, :, None], 0)
        return hidden_states + self._update(hidden_states, output, scores, chosen)


def _cache_of(arguments: dict[str, Any]) -> Any:
    """The keys and values that a layer goes on from, by either of their names: the second since transformers 5.24."""
    return arguments.get("past_key_values", arguments.get("cache"))


def route(model: Any, every: int, capacity: float, predictor: bool) -> list[str]:
    """Let every n-th decoder layer process a part of the tokens, in place; routers are fresh, in float32.

    Returns: the names of the routers' weights.

    Raises: TunesmithError when the model has no such layers.
    """
    config, decoder = model.config.get_text_config(), model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if layers is None or len(layers) < every:
        raise TunesmithError(f"patch.mixture_of_depths.every={every}: {type(model).__name__} has no so many layers.")
    types = getattr(config, "layer_types", None) or ["full_attention"] * len(layers)
    other = sorted(set(types) - {"full_attention", "sliding_attention"})
    if other:
        raise TunesmithError(
            f"patch.mixture_of_depths: layers of {', '.join(other)} carry a state from token to token, or cut the "
            f"sequence, and cannot skip some ({type(model).__name__}).\n  choose a model of attention layers only"
        )
    for index in range(every - 1, len(layers), every):
        layer = layers[index]
        setattr(layer, ROUTER, Router(config.hidden_size, predictor).to(next(layer.parameters()).device))
        layer.depth_index, layer.depth_capacity, layer.depth_terms = index, capacity, None
        layer.__class__ = type(f"Routed{type(layer).__name__}", (Routed, type(layer)), {})
    return [name for name, _ in model.named_parameters() if f".{ROUTER}." in name]


def routed_layers(model: Any) -> list[Any]:
    """The routed layers of a model, also within DDP and other wrappers."""
    return [module for module in getattr(model, "modules", list)() if isinstance(module, Routed)]
