"""Writes the whole model, its adapter folded in: a folder that transformers, vLLM and converters load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between, filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable
from tunesmith_library_weights.bases import base_problems, quantizer_of_full, refuse_on_the_fly

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Merged:
    """Merges in float32, rounds once, verifies, and writes the model as its base was published."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    # numbers of the weights; auto is the base's, tensor by tensor
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what was written, as transformers loads it, with what was trained, and with the base: logits on the run's
    # conversations, every tensor, class, configuration, files, text and tokens
    verify: bool = True
    # largest difference of a logit that merging, or writing, may make
    tolerance: Annotated[float, between(0, 1_000_000)] = 1e-3
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    _quantizer: str | None = None  # that can merge into no base but one that is stored in few bits

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = [*base_problems(plan, "merged"), *push_problems(plan, "merged")]
        if not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)?\s*[KMGT]i?B", self.max_shard_size):
            message = f"exporter.merged.max_shard_size={self.max_shard_size} is no size."
            problems.append(Problem("exporter.merged.max_shard_size", message, "such as 500MB or 5GB"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = quantizer_of_full(plan, "merged")

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_estimates.exported import with_files
        from tunesmith_library_estimates.exporting import merging, while_exporting

        given = {"auto": estimate.stored_bits, "float32": 32.0}
        bits = given.get(self.dtype, 16.0)
        made = with_files(estimate, "merged model", lambda weight: bits, plan)
        return while_exporting(made, merging(estimate, plan, bits, self.max_shard_size))

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when few bits cannot be merged into, or when merging or writing changes the model."""
        from tunesmith_library_proving.merging import Wanted, export_merged

        refuse_unpushable(self.push_to, self.private)
        refuse_on_the_fly(handle.source.path, self._quantizer, "merged")
        export_merged(handle, output_dir, Wanted(self.dtype, self.max_shard_size, self.verify, self.tolerance))
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
