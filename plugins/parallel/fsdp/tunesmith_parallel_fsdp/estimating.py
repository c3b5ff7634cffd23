"""What a process needs that has a part of the model; without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.spreading import Sharding, Started, among, fully_sharded, of_machine
from tunesmith_library_estimates.working import Work

if TYPE_CHECKING:
    from tunesmith_parallel_fsdp import Fsdp

_BY_TENSORS = ("linear", "experts")


def estimate_parts(options: Fsdp, estimate: Estimate) -> Estimate:
    """Divide weights, gradients and states, and add what comes together of them for a while."""
    started = Started(*options.counts(estimate.machine.count))
    if started.total == 1:
        return estimate
    made = among(estimate, started, options.tensor * options.sharing(started.total))
    made = options.estimate_sequences(made, started.total)
    if options.tensor > 1:
        made = _with_layers_divided(made, options.tensor)
    if options.experts > 1:
        made = _with_experts_divided(made, options.experts)
    packed = any(weight.bits < 16 for weight in made.weights)
    sharding = Sharding(
        max(started.total // (options.replicas * options.tensor), 1),
        options.replicas,
        casts=made.precision == "bf16" and options.param_dtype == "auto" and not packed,
        reshards=options.reshard_after_forward,
        offloads=options.cpu_offload and made.machine.device != "cpu",
        gathers=options.checkpoints == "whole",
        local=started.local,
    )
    made = fully_sharded(made, sharding)
    if options.experts > 1:  # which no more than the processes that have the same ones divide further
        made = replace(made, weights=tuple(_times(weight, options.experts, ("experts",)) for weight in made.weights))
    return of_machine(made, started).offering(*_lighter(options, made, started.total))


def _with_layers_divided(made: Estimate, parts: int) -> Estimate:
    """Linear layers and experts in equal parts, with what is summed up of each: two results a layer, there and back."""
    trained = sum(weight.bytes for weight in made.weights if weight.trained)
    weights = tuple(_times(weight, 1 / parts, _BY_TENSORS) for weight in made.weights)
    share = sum(weight.bytes for weight in weights if weight.trained) / trained if trained else 1.0
    memory = {
        what: replace(each, bytes=each.bytes * share) if each.of in ("gradients", "states") else each
        for what, each in made.memory.items()
    }
    outside = 2.0 * made.vocabulary * made.hidden_size
    flops = outside + max(made.flops_per_token - outside, 0.0) / parts
    made = replace(made, weights=weights, memory=memory, flops_per_token=flops)
    made = replace(made, flops_per_pair=made.flops_per_pair / parts)
    layers = sum(weight.name.endswith("o_proj.weight") for weight in weights)
    number = 4 if made.precision == "fp32" else 2
    sent = 4 * layers * 2 * (parts - 1) / parts * made.hidden_size * number
    made = made.doing("results of layers summed up", Work(sent=sent, per="token"))
    return made.without("what parallel.tensor takes off the activations: they are counted whole")


def _with_experts_divided(made: Estimate, parts: int) -> Estimate:
    """Experts in equal parts, and the tokens that are sent to them and back, in both passes."""
    weights = tuple(_times(weight, 1 / parts, ("experts",)) for weight in made.weights)
    layers = sum(weight.kind == "experts" and "down" in weight.name for weight in weights)
    number = 4 if made.precision == "fp32" else 2
    sent = 4 * layers * made.experts_per_token * made.hidden_size * number * (parts - 1) / parts
    return replace(made, weights=weights).doing("tokens sent to their experts", Work(sent=sent, per="token"))


def _times(weight: Weight, factor: float, kinds: tuple[str, ...]) -> Weight:
    return replace(weight, part=weight.part * factor) if weight.kind in kinds else weight


def _lighter(options: Fsdp, made: Estimate, total: int) -> Iterator[Change]:
    if not options.reshard_after_forward:
        yield Change(("parallel.reshard_after_forward=true",), "time", "weights are sent once more, in each step")
    if options.replicas > 1:
        yield Change(("parallel.replicas=1",), "time", "weights are sent among all processes")
    if not options.cpu_offload and made.machine.device != "cpu":
        yield Change(("parallel.cpu_offload=true",), "time", "the host's memory has the weights, and its CPU steps")
    for count in (2 * total, 4 * total, 8 * total):
        if options.processes is not None and options.nodes == 1:
            yield Change((f"parallel.processes={count}",), "hardware", f"{count} devices")
