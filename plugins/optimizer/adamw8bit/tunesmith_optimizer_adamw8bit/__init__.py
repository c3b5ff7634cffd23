"""AdamW with block-wise quantised moments, through bitsandbytes.

Dettmers et al. 2021, "8-bit Optimizers via Block-wise Quantization" (arXiv 2110.02861).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_optimizing.checks import needs_whole_weights

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class AdamW8bit:
    """AdamW with its moments in 8 bits: a quarter of the state."""

    paged: bool = False  # on a GPU: keep the state in memory that moves to the machine's when the GPU is full
    # weights of fewer numbers keep moments in 32 bits
    min_8bit_size: Annotated[int, at_least(0, most=1_000_000_000)] = 4096
    embeddings_in_32_bit: bool = True  # embeddings too; their gradients are uneven, and few rows change in a step

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_whole_weights(plan, "optimizer=adamw8bit scales blocks of whole tensors", ["fsdp"])

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_moments

        return estimate_moments(estimate, self.min_8bit_size, self.embeddings_in_32_bit, self.paged)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        from tunesmith_library_optimizing.stacks import say_updates

        from .optimizer import PerGroupAdamW8bit, weight_groups

        groups = weight_groups(model, settings.weight_decay, self.embeddings_in_32_bit)
        rounded = [weight for group in groups if group.get("optim_bits") != 32 for weight in group["params"]]
        own = {id(weight) for weight in rounded if weight.numel() >= self.min_8bit_size}
        say_updates("adamw8bit", model, own, "with moments in 8 bits", "in 32")
        return PerGroupAdamW8bit(  # type: ignore[no-untyped-call]
            groups,
            lr=settings.learning_rate,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_epsilon,
            min_8bit_size=self.min_8bit_size,
            is_paged=self.paged,
        )
