"""Writes the adapter alone: a small folder that PEFT, vLLM and others load beside the base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Adapter:
    """Copies the trained adapter with tokenizer and template, names its base, and proves it with PEFT."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    # the base as it is named to others, such as org/name; null is the address that the run was trained from
    base: Annotated[str | None, filled] = None
    # load base and adapter as PEFT does, and compare them with the trained model: logits on the run's conversations,
    # names of the weights in the published class, text and tokens
    verify: bool = True
    tolerance: Annotated[float, between(0, 1_000_000)] = 1e-3  # largest difference of a logit over the base as trained
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    _quantizer: str | None = None  # that the run trained over; what serves the adapter has the base in 16 bits

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return push_problems(plan, "adapter")

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = plan.name("quantizer")

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_estimates.exported import is_of_adapter

        own = sum(weight.count for weight in estimate.weights if is_of_adapter(weight))
        return estimate.storing("adapter", 4.0 * own) if own else estimate

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the run trained no adapter, or when PEFT makes another model of it."""
        from .writing import export_adapter

        refuse_unpushable(self.push_to, self.private)
        export_adapter(handle, output_dir, self.base, self.tolerance if self.verify else None, self._quantizer)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
