"""Writes the model in 8 bits by torchao: a folder that transformers and vLLM load as they load any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable
from tunesmith_library_weights.plans import unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Torchao:
    """Merges, rounds the linear layers to 8 bits with a scale for each row, and proves what that leaves."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    # what is stored, and what is computed: int8_dynamic rounds the inputs to 8 bits too
    scheme: Literal["int8_weight_only", "int8_dynamic", "float8_weight_only"] = "int8_weight_only"
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what transformers makes of it with what was trained: logits on the run's conversations, beside what the
    # same bits take from the base, text and tokens
    verify: bool = True
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        message = "exporter=torchao cannot merge into the weights that quantizer={quantizer} rounds to few bits."
        advice = "quantizer=null merges into the base's 16-bit weights"
        return [*unmergeable(plan, "quantizer", message, advice), *push_problems(plan, "torchao")]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_estimates.exported import few_bits, with_files
        from tunesmith_library_estimates.exporting import merged_beside, merging, while_exporting

        what = f"torchao, {self.scheme}"
        made = with_files(estimate, what, lambda weight: few_bits(weight, 8, -1, False), plan)
        made = merged_beside(made, plan)
        return while_exporting(
            made, merging(estimate, plan, estimate.stored_bits), {"weights in 8 bits": made.disk.get(what, 0.0)}
        )

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when torchao rounds nothing of it, or what it makes is another model."""
        from .writing import export_torchao

        refuse_unpushable(self.push_to, self.private)
        export_torchao(handle, output_dir, self.scheme, self.max_shard_size, self.verify)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
