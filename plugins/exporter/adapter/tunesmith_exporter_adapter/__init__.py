"""Writes the adapter alone: a small folder that PEFT, vLLM and others load beside the base model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled
from tunesmith.types import ModelHandle

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Adapter:
    """Copies the trained adapter with tokenizer and template, names its base, and proves it with PEFT."""

    # the base as it is named to others, such as org/name; null is the address that the run was trained from
    base: Annotated[str | None, filled] = None
    # load base and adapter as PEFT does, and compare them with the trained model: logits on the run's conversations,
    # names of the weights in the published class, text and tokens
    verify: bool = True
    tolerance: Annotated[float, between(0, 1_000_000)] = 1e-3  # largest difference of a logit over the base as trained

    _quantizer: str | None = None  # that the run trained over; what serves the adapter has the base in 16 bits

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = plan.name("quantizer")

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the run trained no adapter, or when PEFT makes another model of it."""
        from .writing import export_adapter

        export_adapter(handle, output_dir, self.base, self.tolerance if self.verify else None, self._quantizer)
        return output_dir
