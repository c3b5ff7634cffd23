"""What a graph takes: its size, the merged model, and what the builder holds, as far as that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.exported import with_files
from tunesmith_library_estimates.exporting import merged_beside, merging, while_exporting

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_BITS = {"fp32": 32.0, "fp16": 16.0, "int8": 8.0, "int4": 4.0}
_SCALE = 32.0  # bits that a block's scale has


def estimate_graph(estimate: Estimate, plan: Plan, precision: str, block_size: int) -> Estimate:
    """Add the graph's weights, and what it takes to write them.

    Args:
        block_size: weights that share one scale, of whole numbers.
    """
    size = _BITS[precision]

    def bits(weight: Weight) -> float:
        if size >= 16:
            return size
        rounded = weight.kind == "head" or (weight.kind == "linear" and layer_of(weight) is not None)
        return size + _SCALE / block_size if rounded else 32.0

    what = f"ONNX, {precision}"
    made = merged_beside(with_files(estimate, what, bits, plan), plan)
    made = while_exporting(
        made, merging(estimate, plan, estimate.stored_bits), {"the graph's weights": made.disk.get(what, 0.0)}
    )
    return made.without("what onnxruntime-genai's builder, and onnxruntime, take beside the weights")
