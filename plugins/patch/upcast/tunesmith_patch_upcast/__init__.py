"""Norms that stay in fp32 while a model is held in 16 bits, and logits that leave the output layer in fp32."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.traits import PatchTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Upcast:
    """In training, hold norms in fp32, and make logits fp32, in a model whose other weights have 16 bits."""

    known_as: ClassVar[dict[str, str]] = {
        **{"upcast_layernorm": "norms", "layer_norms": "norms", "layernorm": "norms"},
        **{"upcast_lmhead_output": "logits", "lm_head": "logits"},
    }

    norms: bool = True  # hold the weights and biases of norms in fp32
    logits: bool = False  # make the output layer's result fp32

    traits: ClassVar[PatchTraits] = PatchTraits(keeps_layers=True)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "train" or self.norms or self.logits:
            return []
        advice = "set one of its options to true, or leave patch.upcast out"
        return [Problem("patch.upcast", "Neither norms nor logits are to be made fp32.", advice)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        """Norms in 32 bits."""
        if plan.command != "train" or not self.norms:
            return estimate
        weights = (replace(each, bits=32.0) if each.kind == "norm" else each for each in estimate.weights)
        return replace(estimate, weights=tuple(weights))

    @hookimpl(wrapper=True)
    def apply_adapter(self, source: ModelSource) -> Generator[None, Any, Any]:
        """After the adapter has decided in which numbers the trained weights are held."""
        model = yield
        if source.training:
            from tunesmith_patch_upcast.layers import upcast_logits, upcast_norms

            if self.norms:
                upcast_norms(model)
            if self.logits:
                upcast_logits(model)
        return model
