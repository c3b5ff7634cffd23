"""Writes the whole model, its adapter folded in: a folder that transformers, vLLM and converters load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.ranges import between, filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_configuration.space import warn_of_little
from tunesmith_library_weights.plans import unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_ADVICE = "quantizer=null merges into the base's 16-bit weights"


@plugin
class Merged:
    """Merges in float32, rounds once, verifies, and writes the model as its base was published."""

    # numbers of the weights; auto is the base's, tensor by tensor
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_shard_size: Annotated[str, filled] = "5GB"  # a weights file holds at most this much: KB, MB, GB
    # compare what was written, as transformers loads it, with what was trained, and with the base: logits on the run's
    # conversations, every tensor, class, configuration, files, text and tokens
    verify: bool = True
    # largest difference of a logit that merging, or writing, may make
    tolerance: Annotated[float, between(0, 1_000_000)] = 1e-3

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        message = "exporter=merged cannot merge into the weights that quantizer={quantizer} rounds to few bits."
        problems = unmergeable(plan, "quantizer", message, _ADVICE)
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", self.max_shard_size):
            message = f"exporter.merged.max_shard_size={self.max_shard_size} is no size."
            problems.append(Problem("exporter.merged.max_shard_size", message, "such as 500MB or 5GB"))
        return problems

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the base is quantised, or when merging or writing changes the model."""
        from tunesmith_library_proving.gate import skipped
        from tunesmith_library_publishing.inventory import read_json
        from tunesmith_library_publishing.whole import save_whole

        from .proof import Proof
        from .writing import chosen_numbers, refuse_non_finite, round_weights

        base = handle.source.path
        if "quantization_config" in read_json(base / "config.json"):
            raise TunesmithError(
                f"{handle.source.address} is stored in few bits (its config.json has a quantization_config); merged "
                "weights would be rounded to them again.\n  train and export with the model's 16-bit version"
            )
        numbers = chosen_numbers(base, self.dtype)
        weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
        warn_of_little(output_dir, weights, "an export of this model takes")
        if not self.verify:
            skipped("merged")
        model = handle.load().float()
        proof = Proof(model, handle, numbers, self.tolerance) if self.verify else None
        if handle.adapter:
            model = handle.merge(model)
            if proof:
                proof.merged(model)
        round_weights(model, base, numbers)
        refuse_non_finite(model)
        if proof:
            proof.rounded(model)
        with replacing(output_dir) as draft:
            draft.mkdir()
            options: dict[str, Any] = {"numbers": numbers, "max_shard_size": self.max_shard_size}
            result = save_whole(model, handle.processor, handle.template, base, draft, **options)
            if proof:
                proof.tensors(draft, model, result)
                del model  # its memory is for the written one
                proof.written(draft)
        return output_dir
