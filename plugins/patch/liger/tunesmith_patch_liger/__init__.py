"""Liger's Triton kernels (Hsu et al. 2024, arXiv 2410.10989) for the layers of a model and for its cross entropy.

The layers are patched by Liger's own function for each model type; the loss through `fused` of the training library, so
that it stays a sum over the trained tokens of batches with or without padding.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.types import LossOutput, ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_LOSS = "fused_linear_cross_entropy"


@plugin
class Liger:
    """Train with Liger's kernels: less memory for activations and logits. They need a GPU."""

    rope: bool = True  # rotary position embeddings
    rms_norm: bool = True  # RMS norms
    layer_norm: bool = True  # layer norms, of models that have them
    swiglu: bool = True  # MLPs gated by SiLU (Llama, Qwen, …), experts included
    geglu: bool = True  # MLPs gated by GELU (Gemma)
    # output layer and cross entropy in one, where the stage's loss is the cross entropy of the next token; an output
    # layer that is quantised or has an adapter is computed without it
    fused_linear_cross_entropy: bool = True

    additive: ClassVar[bool] = True  # the kernels compute what the model does

    def kernels(self) -> dict[str, bool]:
        """Liger's options of the layers, by its names."""
        return {name: on for name, on in dataclasses.asdict(self).items() if name != _LOSS}

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "train":
            return []
        problems = []
        if importlib.util.find_spec("liger_kernel") is None:
            message = "patch.liger needs the package liger-kernel, which is not installed; it is for Linux."
            problems.append(Problem("patch.liger", message, "pip install liger-kernel, or leave patch.liger out"))
        if not self.fused_linear_cross_entropy and not any(self.kernels().values()):
            advice = "set one of its options to true, or leave patch.liger out"
            problems.append(Problem("patch.liger", "All of its kernels are switched off.", advice))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        if plan.command != "train":
            return estimate
        from .estimating import estimate_kernels

        return estimate_kernels(estimate, norms=self.rms_norm, gates=self.swiglu or self.geglu)

    @hookimpl(wrapper=True)
    def load_processor(self, source: ModelSource) -> Generator[None, Any, Any]:
        processor = yield
        if source.training:  # known this early, before the data is encoded
            from tunesmith_patch_liger.layers import require_device

            require_device()
        return processor

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        model = yield
        if not source.training:
            return model
        from tunesmith_patch_liger.layers import patch_layers

        patch_layers(model, self.kernels(), loss=self.fused_linear_cross_entropy)
        return model

    @hookimpl(wrapper=True)
    def compute_loss(self) -> Generator[None, LossOutput, LossOutput]:
        if not self.fused_linear_cross_entropy:
            return (yield)
        from tunesmith_library_training.token_loss import fused

        from tunesmith_patch_liger.loss import linear_cross_entropy

        with fused(linear_cross_entropy):
            return (yield)
