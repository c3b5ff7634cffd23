"""Mixture of Depths: some decoder layers process only the tokens that a learned router chooses; the others skip them.

Raposo et al. 2024, "Mixture-of-Depths: Dynamically allocating compute in transformer-based language models"
(arXiv 2404.02258). In training a layer takes the share of tokens with the highest scores of each sequence. That choice
sees the whole sequence and cannot be made while text is generated: there each token is decided about alone, as the
router or a predictor has learned to foresee the choice (section 3.5).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, at_least
from tunesmith.types import Batch, LossOutput, ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class MixtureOfDepths:
    """Let every n-th layer process a share of the tokens, chosen by a router (Raposo et al. 2024)."""

    # share of each sequence's tokens that a routed layer processes; 0.125 in the paper
    capacity: Annotated[float, Range(0, 1, low_excluded=True)] = 0.125
    every: Annotated[int, at_least(1, most=65_536)] = 2  # 2 routes the second, fourth, … layer, as the paper does
    # what decides outside training: the sign of the router's own score, or a small network that disturbs nothing
    decide: Literal["router", "predictor"] = "router"
    # weight in the loss of the cross entropy between these decisions and training's choice
    aux_weight: Annotated[float, above(0, most=1_000_000)] = 0.01

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import check

        return check(plan)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        """Of the tokens that a routed layer passes by, it keeps nothing."""
        if plan.command != "train":
            return estimate
        from tunesmith_library_estimates.activations import layers_of
        from tunesmith_library_estimates.kept import Numbers, kept_by

        numbers, keeping = Numbers.of(estimate), dict(estimate.keeping)
        for number, (name, weights) in enumerate(layers_of(estimate.weights).items(), start=1):
            if number % self.every == 0:
                kept = kept_by(weights, estimate.hidden_size, numbers)
                keeping[f"{name}.passed"] = -(1 - self.capacity) * kept.bytes
        return replace(estimate, keeping=keeping)

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        """Route the loaded model's layers. A model without routers that is not to be trained stays as it is.

        Raises: TunesmithError when the model has no such layers, or routers of other layers.
        """
        model = yield
        from .loading import change

        change(model, self, source)
        return model

    @hookimpl(wrapper=True)
    def compute_loss(self, model: Any, batch: Batch) -> Generator[None, LossOutput, LossOutput]:
        """Add the cross entropy of the decisions, its mean over tokens and layers times the batch's items."""
        import torch

        from .layers import routed_layers

        layers, terms = routed_layers(model), list[torch.Tensor]()
        for layer in layers:
            layer.depth_terms = terms
        try:
            output = yield
        finally:
            for layer in layers:
                layer.depth_terms = None
        if not terms:
            return output
        entropy, agreeing, tokens = torch.stack(terms).sum(dim=0)
        mean, share = entropy / tokens * output.num_items, agreeing.detach() / tokens * output.num_items
        metrics = {**output.metrics, "router_loss": mean.detach(), "router_agreement": share.detach()}
        return replace(output, loss=output.loss + self.aux_weight * mean.to(output.loss.dtype), metrics=metrics)
