"""Loads models with unsloth, which has Triton kernels for their layers and computes LoRA's gradients by hand.

How it divides among the hooks: this plugin loads (`FastLanguageModel.from_pretrained`), the adapter adds its matrices
with all its options, and this plugin then hands the result to `FastLanguageModel.patch_peft_model`, which is what
unsloth's own `get_peft_model` ends with. What is saved is a plain LoRA.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, filled, path_like
from tunesmith.types import ModelSource, Precision, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Unsloth:
    """A language model through unsloth's FastLanguageModel: LoRA training on one NVIDIA GPU, also over 4 or 8 bits."""

    guarded: ClassVar[tuple[str, ...]] = ("trust_remote_code",)

    path: Annotated[str, path_like]  # model on a hub or a local folder
    revision: Annotated[str | None, filled] = None  # branch, tag or commit on the hub; null is the hub's default
    # longest sequence in tokens; beyond the model's own context unsloth stretches positions
    max_seq_length: Annotated[int, at_least(1, most=100_000_000)] = 2048
    # which activations are computed again in the backward pass: unsloth moves them to the CPU's memory, true is torch's
    # way, false keeps them
    gradient_checkpointing: bool | Literal["unsloth"] = "unsloth"
    trust_remote_code: bool = False  # run the Python code that comes with the model

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import check

        return check(self, plan, installed=importlib.util.find_spec("unsloth") is not None)

    @hookimpl
    def resolve_precision(self, requested: str) -> Precision:
        """The first hook of a run: unsloth must be imported before the libraries that it changes are used.

        Raises: TunesmithError without unsloth, without a GPU, or when the GPU cannot compute in what was asked.
        """
        from tunesmith_library_loading.precision import resolve

        from .loading import import_unsloth

        import_unsloth()
        return resolve(requested)

    @hookimpl
    def load_processor(self, source: ModelSource) -> Any:
        from tunesmith_library_loading.chatter import silence

        silence()
        from tunesmith_library_loading.processors import load_processor

        return load_processor(source.path, self.trust_remote_code)

    @hookimpl
    def load_model(self, source: ModelSource, processor: Any, quantization: Any) -> Any:
        """Raises: TunesmithError without unsloth or a GPU, or when unsloth cannot load the model."""
        from .loading import load_model

        return load_model(
            source,
            processor,
            quantization,
            max_seq_length=self.max_seq_length,
            gradient_checkpointing=self.gradient_checkpointing,
            trust_remote_code=self.trust_remote_code,
        )

    @hookimpl(wrapper=True)
    def apply_adapter(self, model: Any, source: ModelSource) -> Generator[None, Any, Any]:
        """Put unsloth's kernels around the adapter that was added."""
        adapted = yield
        from .loading import patch_adapter

        return patch_adapter(adapted, source.training, self.gradient_checkpointing)
