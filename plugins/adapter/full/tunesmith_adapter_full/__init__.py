"""Full fine-tuning: every weight is trained, except those that are told to stay frozen.

The trained weights are float32 and the trainer computes in the run's precision by autocast: an optimizer's small
steps would vanish in a bfloat16 weight's 8 bits (Micikevicius et al. 2017, "Mixed Precision Training", section 3.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.traits import AdapterTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.plans import few_bits
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Full:
    """Trains all weights, or all but some."""

    also_called: ClassVar[tuple[str, ...]] = ("none", "full_finetuning", "full_parameter")
    traits: ClassVar[AdapterTraits] = AdapterTraits(whole=True)

    # parameters that stay as they are: dotted parts of their names, with `*` for anything (embed_tokens, layers.[0-9])
    freeze: list[str] = []
    # parts of a model that also sees or hears that are trained: language, vision, audio (its towers; `tower` is each of
    # them), projector; the others stay as they are
    towers: list[Part] = ["language"]
    # numbers of the trained weights; bfloat16 halves the memory and rounds away small steps, auto keeps the loaded ones
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return [*few_bits(plan), *towers_problems(self.towers)]

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_full

        return estimate_full(estimate, self.freeze, self.dtype, self.towers)

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when `trained` is given, the weights are quantised, or `freeze` fits nothing."""
        from tunesmith_library_weights.training import refuse_adapter, refuse_quantised

        refuse_adapter(trained, "full")
        if source.training:
            refuse_quantised(model, "full")
            self._unfreeze(model)
        return model

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model

    def _unfreeze(self, model: Any) -> None:
        from tunesmith_library_weights.towers import parts_in
        from tunesmith_library_weights.training import train_only

        names = [name for name, _ in model.named_parameters()]
        refuse_unknown("adapter.freeze", self.freeze, names, "parameter")
        parts = parts_in(model)
        parts.refuse_missing("adapter.towers", self.towers)
        for asked in ([part] for part in self.towers):
            own = {name for name in names if parts.of(name) in parts.chosen(asked)}
            if all(matches_any(name, self.freeze) for name in own):
                what = f"every parameter of {asked[0]}" if len(parts.names) > 1 else "every parameter"
                raise TunesmithError(f"adapter.freeze={self.freeze} freezes {what}; nothing is left to train")
        trained = parts.chosen(self.towers)
        chosen = {name for name in names if parts.of(name) in trained and not matches_any(name, self.freeze)}
        why = f"all but {', '.join(self.freeze)}" if self.freeze else "all weights"
        train_only(model, chosen, None if self.dtype == "auto" else self.dtype, why)
