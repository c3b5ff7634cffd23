"""LongLoRA (Chen et al. 2023, arXiv 2309.12307): training on long texts attends within groups of tokens, S².

Half of the heads have groups that are shifted by half a group, so that neighbouring groups hear of each other from
layer to layer. Evaluation and use attend over everything; the weights are those of a plain model.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.ranges import Range, at_least
from tunesmith.traits import PatchTraits
from tunesmith.types import LossOutput, ModelSource, Problem
from tunesmith_library_training.attention_patches import check_alone

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_KEY = "patch.longlora"


@plugin
class LongLora:
    """Attend within groups of tokens while training, half of the heads with shifted groups (S²)."""

    # size of a group, as a part of stage.max_length; a quarter in the paper
    group_size_ratio: Annotated[float, Range(0, 1, low_excluded=True, high_excluded=True)] = 0.25
    # size of a group in tokens; null is group_size_ratio · stage.max_length
    group_size: Annotated[int | None, at_least(2, most=65_536)] = None

    traits: ClassVar[PatchTraits] = PatchTraits(attention=True)
    additive: ClassVar[bool] = True  # a sequence has groups of its own

    _max_length: int | None = None  # the stage's
    _attention: Any = None  # of the model that is trained

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "train":
            return []
        return [*self._check_size(plan), *check_alone(plan, self), *_check_others(plan)]

    def _check_size(self, plan: Plan) -> Iterator[Problem]:
        if self.group_size is None and plan.get("stage.max_length") is None:
            message = f"stage={plan.name('stage')} has no max_length of which a group would be a part."
            yield Problem(f"{_KEY}.group_size", message, f"write {_KEY}.group_size=2048")

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._max_length = plan.get("stage.max_length")

    def _size(self) -> int | None:
        """Tokens of a group."""
        if self.group_size is None and self._max_length is not None:
            return max(2, math.ceil(self.group_size_ratio * self._max_length))
        return self.group_size

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        model = yield
        size = self._size()
        if not source.training or size is None:
            return model
        from .attention import install

        why = "patch.longlora.group_size" if self.group_size else f"{self.group_size_ratio:g} of stage.max_length"
        announce("attention in training", f"groups of {size} tokens, shifted in half of the heads", why)
        self._attention = install(model, size)
        return model

    @hookimpl(wrapper=True)
    def compute_loss(self, model: Any) -> Generator[None, LossOutput, LossOutput]:
        """Raises: TunesmithError when the model did not attend in groups: it computes attention in its own way."""
        output = yield
        if getattr(model, "training", False) and self._attention is not None and not self._attention.called:
            raise TunesmithError(
                "patch.longlora: the model does not compute its attention through transformers' AttentionInterface, or "
                "another patch has put its own there.\n  leave patch.longlora out, or the other patch"
            )
        return output


def _check_others(plan: Plan) -> Iterator[Problem]:
    attention = plan.get("model.attention", "auto")
    if attention not in ("auto", "per_sequence"):
        message = f"patch.longlora cannot cut model.attention={attention} into groups."
        yield Problem("model.attention", message, "model.attention=auto")
    if getattr(plan.traits("stage"), "reference", False):
        message = f"stage={plan.name('stage')} compares the model in groups with a reference that attends over all."
        yield Problem("stage", message, "stage=pretrain or sft is what patch.longlora is for", severity="warning")
    saved = plan.get("adapter.modules_to_save")
    if getattr(plan.traits("adapter"), "beside", False) and not any("embed" in name for name in saved or ()):
        message = f"adapter={plan.name('adapter')} alone learns little of longer texts (arXiv 2309.12307, table 2)."
        advice = "adapter.modules_to_save=[embed_tokens,norm,input_layernorm,post_attention_layernorm]"
        yield Problem("adapter.modules_to_save", message, advice, severity="warning")
