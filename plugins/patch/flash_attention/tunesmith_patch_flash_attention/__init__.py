"""FlashAttention 2 (Dao 2023, arXiv 2307.08691) by a kernel of the user's choice, which either computes or is refused.

The attention itself is the training library's (`per_sequence`), and this patch says which kernel it calls.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, filled
from tunesmith.traits import PatchTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_training.attention_patches import check_alone

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_patch_flash_attention.choosing import Choice

_PACKAGES = {"flash_attn": "flash-attn", "kernels": "kernels"}  # module -> what to install


@plugin
class FlashAttention:
    """Attend by a FlashAttention kernel, and stop where none can be had."""

    # flash_attn is that package, kernels a build of the Hugging Face Hub, torch_varlen torch's own; auto is the first
    # of flash_attn, torch_varlen, kernels that is there and can compute this model
    implementation: Literal["auto", "flash_attn", "kernels", "torch_varlen"] = "auto"
    # for implementation=kernels: repository on the Hugging Face Hub
    kernel: Annotated[str, filled] = "kernels-community/flash-attn2"
    # of this repository; 4 is for torch from 2.10 on, 3 for older ones
    kernel_version: Annotated[int, at_least(1, most=1_000_000)] = 4

    traits: ClassVar[PatchTraits] = PatchTraits(attention=True)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "train":
            return []
        problems = [*self._check_model(plan), *check_alone(plan, self), *self._check_package()]
        if plan.get("precision", "auto") == "fp32":
            message = "FlashAttention computes in bf16 and fp16 only."
            problems.append(Problem("precision", message, "precision=bf16, or leave patch.flash_attention out"))
        if not plan.get("trainer.padding_free", True):
            message = "The kernels of patch.flash_attention are for batches without padding."
            problems.append(Problem("trainer.padding_free", message, "trainer.padding_free=true, or leave it out"))
        return problems

    def _check_model(self, plan: Plan) -> list[Problem]:
        """The kernel is given to the attention of the model, when that is not told otherwise."""
        if not getattr(plan.traits("model"), "attention_interface", True):
            message = f"model={plan.name('model')} does not say that its attention can be given another kernel."
            return [Problem("patch.flash_attention", message, "leave it out")]
        attention = plan.get("model.attention", "auto")
        if attention not in ("auto", "per_sequence"):
            message = f"model.attention={attention} and patch.flash_attention both say how attention is computed."
            return [Problem("model.attention", message, "model.attention=auto, or leave patch.flash_attention out")]
        return []

    def _check_package(self) -> list[Problem]:
        package = _PACKAGES.get(self.implementation)
        if package is None or importlib.util.find_spec(self.implementation) is not None:
            return []
        message = f"implementation={self.implementation} needs the package {package}, which is not installed."
        advice = f"pip install {package}, or implementation=auto"
        return [Problem("patch.flash_attention.implementation", message, advice)]

    @hookimpl(wrapper=True)
    def load_processor(self, source: ModelSource) -> Generator[None, Any, Any]:
        processor = yield
        if source.training:  # known this early, before the data is encoded
            self._choice().require()
        return processor

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        model = yield
        if source.training:
            self._choice().apply(model, source.precision)
        return model

    def _choice(self) -> Choice:
        from tunesmith_patch_flash_attention.choosing import Choice

        return Choice(self.implementation, self.kernel, self.kernel_version)
