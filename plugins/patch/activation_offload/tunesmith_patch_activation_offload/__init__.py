"""Activations wait for the backward pass in the memory of the host, on a copy of their own beside the computing.

The idea is torchtune's `OffloadActivations`; TRL has it too. This one moves what the layers save, and nothing of the
output layer, whose logits are freed chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import PatchTraits
from tunesmith.types import Problem
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class ActivationOffload:
    """Keep what layers save for the backward pass in the host's memory: less of the GPU's, nothing computed twice."""

    min_bytes: Annotated[int, at_least(0, most=2**40)] = 2**20  # smaller tensors stay on the GPU
    # tensors that are on their way at a time: more hide the copies better, and take as much more of the GPU's memory
    in_flight: Annotated[int, at_least(1, most=1_000)] = 4

    traits: ClassVar[PatchTraits] = PatchTraits(keeps_layers=True)
    additive: ClassVar[bool] = True

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = []
        if plan.get("trainer.use_cpu"):
            message = (
                "patch.activation_offload moves activations from a GPU to the host, and trainer.use_cpu has no GPU."
            )
            found.append(Problem("patch.activation_offload", message, "leave it out"))
        if plan.get("trainer.gradient_checkpointing") in (True, "offload"):
            message = "What is computed again in the backward pass need not wait for it in the host's memory."
            advice = "trainer.gradient_checkpointing=false, or offload without patch.activation_offload"
            found.append(Problem("trainer.gradient_checkpointing", message, advice))
        if plan.get("trainer.torch_compile"):
            message = "What a compiled model saves does not pass through patch.activation_offload."
            found.append(Problem("trainer.torch_compile", message, "trainer.torch_compile=false"))
        return found

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        """What layers keep waits in the host's memory; what the layer at work needs stays."""
        return replace(estimate, keeps_on_host=True)

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        from .moving import Transfers, has_accelerator, move

        if not has_accelerator():
            raise TunesmithError(
                "patch.activation_offload moves activations from a GPU to the host, and there is no GPU.\n"
                "  leave it out; to have them computed again: trainer.gradient_checkpointing=true"
            )
        model = yield
        layers = move(model, Transfers(self.in_flight), self.min_bytes)
        announce("activations", "kept in the host's memory", f"patch.activation_offload, {layers} layers")
        return model
