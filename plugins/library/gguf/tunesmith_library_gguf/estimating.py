"""What writing GGUF files takes: their size, the merged model that they are made of, and files on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.exported import gguf_bits, is_of_adapter, with_files
from tunesmith_library_estimates.exporting import ONE, merged_beside, merging, while_exporting

from tunesmith_library_gguf.kinds import KINDS, merged_in

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_OF_A_WORD = 23.0  # bytes of an entry of the vocabulary in a file
_NUMBERS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def estimate_files(estimate: Estimate, plan: Plan, kinds: Sequence[str], *, verify: bool) -> Estimate:
    """Add a file of each kind, and what it takes to write them.

    The model is merged first. Then one tensor at a time is in memory, and llama.cpp reads a file that is to be proven.
    """
    base = "float32" if estimate.stored_bits == 32 else _NUMBERS[estimate.precision]
    merged = 32.0 if "float32" in (base, merged_in(kinds, base)) else 16.0
    made, largest = merged_beside(estimate, plan, merged), 0.0
    for kind in kinds:
        what, bits = f"GGUF, {kind}", gguf_bits(estimate, kind)
        if bits is None:
            made = made.without(f"the size of {kind}: which weights it stores finer")
            continue
        made = with_files(made, what, bits, plan, _OF_A_WORD)
        largest = max(largest, made.disk.get(what, 0.0))
    if any(not KINDS[kind].own for kind in kinds if kind in KINDS):  # llama.cpp rounds a file in the model's numbers
        made = with_files(made, "GGUF in full, until the export has ended", lambda weight: merged, plan, _OF_A_WORD)
    one = {ONE: 8.0 * max((weight.count for weight in estimate.weights), default=0)}
    held = sum(weight.bytes for weight in estimate.weights)
    proven = {"the file in llama.cpp": max(largest - held, 0.0)} if verify else {}  # the model itself has gone then
    return while_exporting(made, merging(estimate, plan, merged), one, proven)


def estimate_adapter(estimate: Estimate, kinds: Sequence[str]) -> Estimate:
    """Add a file of the adapter alone in each kind of numbers."""
    count = sum(weight.count for weight in estimate.weights if is_of_adapter(weight))
    for kind in kinds if count else ():
        estimate = estimate.storing(f"GGUF of the adapter, {kind}", count * (4 if kind == "f32" else 2))
    return estimate
