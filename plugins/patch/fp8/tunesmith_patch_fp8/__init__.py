"""Products of linear layers in 8-bit floating point while training, by torchao (Micikevicius et al. 2022, "FP8 Formats
for Deep Learning", arXiv 2209.05433)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.types import ModelSource, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Fp8:
    """Round inputs, weights and gradients to FP8 for each product of a linear layer; the weights stay as they are."""

    # what shares a scale: a row or column, or the tensor; gw_hp: gradients of weights in 16 bits
    recipe: Literal["rowwise", "tensorwise", "rowwise_with_gw_hp"] = "rowwise"
    skip_modules: list[str] = []  # layers that stay in 16 bits: names, parts of dotted names, or patterns with `*`
    all_gather: bool = False  # with FSDP 2 and tensorwise: processes send each other the weights in 8 bits
    # compute the rounded products in fp32 on any machine, to see what the rounding does: slow
    emulate: bool = False

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import check

        return check(self, plan)

    @hookimpl(wrapper=True)
    def load_processor(self, source: ModelSource) -> Generator[None, Any, Any]:
        processor = yield
        if source.training and not self.emulate:  # known this early, before the data is encoded
            from tunesmith_patch_fp8.layers import require_device

            require_device(self.recipe)
        return processor

    @hookimpl(wrapper=True)
    def apply_adapter(self, source: ModelSource) -> Generator[None, Any, Any]:
        """After the adapter, which finds the layers that it knows.

        Raises: TunesmithError when no layer can be computed in FP8, or `skip_modules` names none.
        """
        model = yield
        if not source.training:
            return model
        from tunesmith_patch_fp8.layers import convert

        convert(model, self.recipe, self.skip_modules, all_gather=self.all_gather, emulate=self.emulate)
        return model
