"""NEFTune (Jain et al. 2023, arXiv 2310.05914): uniform noise on the embeddings while training, as a regulariser.

A sequence of L tokens gets noise of U(-1, 1) · noise_alpha / √(L·d), d being the width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above
from tunesmith.traits import PatchTraits
from tunesmith.types import Batch, LossOutput, Problem

if TYPE_CHECKING:
    import torch
    from tunesmith.planning import Plan


@plugin
class Neftune:
    """Add noise to the embeddings in training, less to long sequences; evaluation and the result have none."""

    known_as: ClassVar[dict[str, str]] = {"neftune_noise_alpha": "noise_alpha", "neftune_alpha": "noise_alpha"}

    noise_alpha: Annotated[float, above(0, most=1_000_000)] = 5.0  # size of the noise; 5 to 15 in the paper

    traits: ClassVar[PatchTraits] = PatchTraits(keeps_layers=True)
    additive: ClassVar[bool] = True  # the noise of a sequence does not depend on those beside it

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if not plan.get("trainer.torch_compile"):
            return []
        message = "A compiled model would not see the noise of patch.neftune."
        return [Problem("trainer.torch_compile", message, "trainer.torch_compile=false")]

    @hookimpl(wrapper=True)
    def compute_loss(self, model: Any, batch: Batch) -> Generator[None, LossOutput, LossOutput]:
        if not getattr(model, "training", False):
            return (yield)

        def add_noise(module: Any, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
            return with_noise(embedded, batch, self.noise_alpha) if module.training else embedded

        hook = _input_embeddings(model).register_forward_hook(add_noise)
        try:
            return (yield)
        finally:
            hook.remove()


def _input_embeddings(model: Any) -> Any:
    """The embedding layer of a model within DDP and other wrappers."""
    while not hasattr(model, "get_input_embeddings"):
        model = model.module
    return model.get_input_embeddings()


def with_noise(embedded: torch.Tensor, batch: Batch, noise_alpha: float) -> torch.Tensor:
    """Embeddings (B, T, d) with noise of U(-1, 1) · noise_alpha / √(L·d).

    Args:
        batch: tells the length L of each token's sequence, without padding: by `cu_seq_lens_q`, or `attention_mask`.
    """
    import torch

    lengths = sequence_lengths(embedded, batch)
    scale = noise_alpha / (lengths * embedded.shape[-1]).sqrt()
    return embedded + torch.empty_like(embedded).uniform_(-1, 1) * scale[..., None].to(embedded.dtype)


def sequence_lengths(embedded: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The length of the sequence that each token belongs to: (B or 1, T or 1), fp32."""
    import torch

    width = embedded.shape[1]
    bounds, mask = batch.get("cu_seq_lens_q"), batch.get("attention_mask")
    if bounds is not None:
        lengths: torch.Tensor = bounds.diff().long()
        return lengths.repeat_interleave(lengths, output_size=width)[None].float()
    if mask is not None and mask.shape == embedded.shape[:2]:
        filled: torch.Tensor = mask.sum(dim=1, keepdim=True)
        return filled.clamp(min=1).float()
    return torch.full((1, 1), float(width), device=embedded.device)
