"""What packed layers take, and what it takes to find them from training data; without torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.working import Work

_BEFORE_OTHERS = ("v_proj.weight", "up_proj.weight")  # what these give is what the next linear layer gets
HELD = 3
"""Of the hidden states of the data: as they came from the embeddings, into a layer, and out of it."""


def estimate_packed(
    estimate: Estimate,
    *,
    bits: int,
    group_size: int,
    skip: Sequence[str],
    tokens: float,
    method: Literal["gptq", "awq"],
) -> Estimate:
    """Give the linear layers few bits, in `linear.PackedLinear`, after the whole model was loaded.

    Args:
        tokens: of training data that are looked at, at most.
    """

    def per_number(weight: Weight) -> float:
        rows, columns = weight.shape
        groups = 1 if group_size == -1 else columns // group_size
        scales = (16 + bits) * groups / columns + 32 / rows  # and which group a column is in
        if method == "awq":  # scales of inputs, and of outputs from where another layer has its inputs
            scales += 32 / rows + (32 / columns if weight.name.endswith(_BEFORE_OTHERS) else 0)
        return bits + scales

    computed = 4 if estimate.precision == "fp32" else 2
    made = in_few_bits(
        estimate,
        per_number,
        skip,
        what=f"in {bits} bits",
        experts=False,
        loads_whole=True,
        in_use=lambda weight: (4 + 2 * computed) * weight.count,  # whole numbers in 32 bits first
    )
    made = made.plus("a layer while it is quantised", Memory(solving(estimate, method), phases=("load",)))
    width = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16) / 8
    on_host = estimate.machine.device != "cpu"
    seen = Memory(HELD * tokens * estimate.hidden_size * width, phases=("load",), of="activations", on_host=on_host)
    made = made.plus("what layers see of the data", seen)
    # a second pass follows, for what a layer gives once it is quantised; and the products of the inputs
    linear = sum(weight.shape[-1] * max(weight.shape) for weight in estimate.weights if weight.kind == "linear")
    made = made.doing("calibration", Work(flops=tokens * (3 * estimate.flops_per_token + linear), per="run"))
    if bits > 4:
        made = made.offering(Change(("quantizer.bits=4",), "exactness", f"weights in 4 bits in place of {bits}"))
    return made


def solving(estimate: Estimate, method: str) -> float:
    """What a layer takes while it is quantised: bytes in float32, as measured.

    Of GPTQ a matrix with its Hessian, factors and copies of both; of AWQ the matrices and second moments of a whole
    layer, and what is tried of the largest.
    """
    layers: dict[int | None, list[Weight]] = defaultdict(list)
    for weight in estimate.weights:
        if weight.kind == "linear":
            layers[layer_of(weight)].append(weight)
    if method == "gptq":
        matrices = [weight for weights in layers.values() for weight in weights]
        return max((4.0 * (6 * weight.shape[-1] ** 2 + 4 * weight.count) for weight in matrices), default=0.0)
    most = 0.0
    for weights in layers.values():
        inputs = {weight.shape[-1] for weight in weights}
        largest = max(weight.count for weight in weights)
        most = max(
            most, 4.0 * (sum(weight.count for weight in weights) + sum(size**2 for size in inputs) + 8 * largest)
        )
    return most
