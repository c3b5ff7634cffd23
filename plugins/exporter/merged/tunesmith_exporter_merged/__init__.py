"""Writes the whole model, its adapter folded in: a folder that transformers, vLLM and converters load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_weights.plans import unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_ADVICE = "quantizer=null merges into the base's 16-bit weights"


@plugin
class Merged:
    """Merges in float32, rounds once, verifies, and writes safetensors with tokenizer and template."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # numbers of the weights; auto is the base's
    max_shard_size: str = "5GB"  # a weights file holds at most this much: KB, MB, GB
    verify: bool = True  # compare logits before and after merging, and of what was written
    tolerance: float = 1e-3  # largest difference of a logit that merging, or writing, may make

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        message = "exporter=merged cannot merge into the weights that quantizer={quantizer} rounds to few bits."
        problems = unmergeable(plan, "quantizer", message, _ADVICE)
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", self.max_shard_size):
            message = f"exporter.max_shard_size={self.max_shard_size} is no size."
            problems.append(Problem("exporter.max_shard_size", message, "such as 500MB or 5GB"))
        return problems

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the base is quantised, or when merging or writing changes the model."""
        from .verify import Probe
        from .writing import base_dtype, cast, read_config, save

        if "quantization_config" in read_config(handle.source.path):
            raise TunesmithError(
                f"{handle.source.address} is stored in few bits (its config.json has a quantization_config); merged "
                "weights would be rounded to them again.\n  train and export with the model's 16-bit version"
            )
        dtype = base_dtype(handle.source.path) if self.dtype == "auto" else self.dtype
        announce("dtype", dtype, "the base's" if self.dtype == "auto" else "exporter.dtype")
        model = handle.load().float()
        probe = Probe(model, handle) if self.verify else None
        if handle.adapter:
            model = handle.merge(model)
            if probe:
                probe.compare("merging", model, self.tolerance)
        cast(model, dtype)
        if probe:
            cast(model, "float32")  # computed in float32, so that only the rounding of the weights shows
            probe.compare(f"rounding to {dtype}", model)
            cast(model, dtype)
        with replacing(output_dir) as draft:
            save(model, handle, draft, self.max_shard_size)
            load_again, device = type(model).from_pretrained, model.device
            del model  # its memory is for the written one
            if probe:
                probe.compare("writing", load_again(draft, dtype="float32").to(device), self.tolerance)
                probe.compare_template(type(handle.processor).from_pretrained(draft))
        return output_dir
