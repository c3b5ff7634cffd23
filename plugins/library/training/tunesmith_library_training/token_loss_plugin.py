"""What `loss` plugins share that sum over the tokens of a text. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tunesmith import hookimpl
from tunesmith.traits import traits_of
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@dataclass(kw_only=True, eq=False)
class TokenLossPlugin:
    """A loss in place of that of a stage whose own is a sum over next tokens too (`StageTraits.token_loss`).

    Its `compute_loss` calls `token_loss.token_loss` with `chunk_size=self._chunk_size`.
    """

    additive: ClassVar[bool] = True  # a batch's loss is the sum of what its examples would have alone

    _chunk_size: int = field(default=0, init=False, repr=False)  # the stage's loss_chunk_size

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        stage = plan.traits("stage")
        if stage is None or stage.token_loss:
            return []
        message = f"loss={plan.name('loss')} weighs the tokens of a text; stage={plan.name('stage')} does not."
        installed = plan.installed("stage").items()
        suited = sorted(name for name, cls in installed if traits_of("stage", cls).token_loss)
        return [Problem("loss", message, f"stages that do: {', '.join(suited)}" if suited else "leave the loss out")]

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._chunk_size = plan.get("stage.loss_chunk_size", 0)
