"""What an export in few bits takes: its size, the merging before it, and rounding layer by layer; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.exported import few_bits, with_files
from tunesmith_library_estimates.exporting import merged_beside, merging, while_exporting
from tunesmith_library_estimates.working import Work
from tunesmith_library_quantizing.estimating import HELD, solving

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_HOST = "the merged model while it is rounded"


def estimate_few_bits(options: Any, estimate: Estimate, plan: Plan) -> Estimate:
    """Add the files, and the larger of what merging and what rounding takes.

    What was merged is loaded anew, on the host, and rounded there; a device has one layer at a time.

    Args:
        options: an `exporting.FewBits`, which calls this.
    """
    size, grouped = options.stored

    def bits(weight: Weight) -> float:
        return few_bits(weight, size, grouped, zeros=not getattr(options, "sym", False))

    what = f"{options.name}, {size:g} bits"
    made = merged_beside(with_files(estimate, what, bits, plan), plan)
    tokens = options.samples * options.sample_length if options.looks else 0
    rounding = {"weights in few bits": made.disk.get(what, 0.0)}
    if tokens:
        rounding["what layers see of the data"] = HELD * tokens * estimate.hidden_size * 2.0
        rounding["a layer while it is rounded"] = solving(estimate, "awq" if options.name == "awq" else "gptq")
        linear = sum(weight.shape[-1] * max(weight.shape) for weight in estimate.weights if weight.kind == "linear")
        made = made.doing("calibration", Work(flops=tokens * (3 * estimate.flops_per_token + linear), per="run"))
    before = merging(estimate, plan, estimate.stored_bits, options.max_shard_size)
    if estimate.machine.device in ("", "cpu"):
        return while_exporting(made, before, rounding)
    count = sum(weight.count for weight in estimate.weights)
    held = Memory(2.0 * count + sum(rounding.values()), phases=("save",), of="weights", on_host=True)
    return while_exporting(made, before).plus(_HOST, held)
