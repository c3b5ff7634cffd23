"""What a process has under DeepSpeed's ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054), as DeepSpeed 0.19 does it.

All of the model is in the numbers that are computed in; what is trained is once more in float32, as the optimizer has
it, and divided from stage 1 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith_library_estimates.estimation import Estimate, Memory, Phase
from tunesmith_library_estimates.spreading import CASTS, divided, on_host
from tunesmith_library_estimates.training import BESIDE_A_STEP
from tunesmith_library_estimates.working import Work

_REPLACED = (CASTS, "gradients")
_FROM_THE_BEGINNING: tuple[Phase, ...] = ("forward", "backward", "step", "generate", "save")


@dataclass(frozen=True)
class Zero:
    """What of a DeepSpeed configuration decides how much memory a process needs; in elements where it is a size."""

    stage: int
    processes: int
    optimizer: str = "none"  # where its states are: none is the device, cpu, nvme
    weights: str = "none"  # where these are, with stage 3
    overlaps: bool = False  # gradients are reduced while others are computed
    reduce_bucket: int = 0  # 0 is the model's width, squared
    prefetch: int = 0  # 0 is 0.9 times as much
    reuse: int = 1_000_000_000  # used meanwhile for a weight to be kept
    sub_group: int = 1_000_000_000  # that the optimizer takes at once, with stage 3
    secondary: int = 1  # processes that have all weights once more among them
    local: int = 1  # processes of a machine

    @classmethod
    def of(cls, configuration: Mapping[str, Any], processes: int, local: int = 1) -> Zero:
        """What DeepSpeed's JSON says. `auto`, and what it does not say, is DeepSpeed's own, or the model's width."""
        found = configuration.get("zero_optimization")
        zero: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        stage = int(zero.get("stage", 0))

        def size(name: str, otherwise: int) -> int:
            value = zero.get(name, otherwise)
            return int(value) if isinstance(value, int | float) else 0

        def place(name: str) -> str:
            device = zero.get(name)
            return str(device.get("device", "none")) if isinstance(device, Mapping) else "none"

        asked = zero.get("overlap_comm")
        return cls(
            stage,
            processes,
            place("offload_optimizer") if stage else "none",
            place("offload_param") if stage == 3 else "none",
            stage == 3 if not isinstance(asked, bool) else asked,
            size("reduce_bucket_size", 500_000_000),
            size("stage3_prefetch_bucket_size", 50_000_000),
            size("stage3_max_reuse_distance", 1_000_000_000),
            size("sub_group_size", 1_000_000_000),
            size("zero_hpz_partition_size", 1) or 1,
            local,
        )


def sharded_by_zero(estimate: Estimate, zero: Zero) -> Estimate:
    """A model under ZeRO, whose processes share what its stage says."""
    number = 4 if estimate.precision == "fp32" else 2
    loaded = sum(weight.bytes for weight in estimate.weights)
    weights = tuple(replace(each, bits=8 * number) if each.bits >= 16 else each for each in estimate.weights)
    made = replace(_with_states_in_float32(estimate, flat=zero.stage > 0), weights=weights)
    made = replace(made, memory={what: each for what, each in made.memory.items() if what not in _REPLACED})
    cast = sum(weight.bytes for weight in weights)
    if zero.stage < 3 and loaded > cast:
        made = made.plus("weights before they are rounded", Memory(loaded - cast, phases=("load",), of="weights"))
    shares = zero.processes if zero.stage else 1
    if zero.stage or number == 2:
        copies = Memory(4.0 * made.trained, phases=_FROM_THE_BEGINNING, of="states")
        made = made.plus("trained weights in float32", copies)
    if zero.stage == 3:
        made = divided(made, zero.processes, "weights")
    made = _with_gradients(divided(made, shares, "states"), zero, number)
    if zero.stage == 3:
        made = _with_live_weights(made, zero, number)
    if zero.stage:
        made = _gathered_to_save(made, zero, number)
    return _offloaded(made.doing("weights and gradients shared", _sent(made, zero, number)), zero)


def _with_states_in_float32(made: Estimate, flat: bool) -> Estimate:
    """The optimizer's states are those of the float32 copies, whatever the trained weights are in.

    Args:
        flat: it is given all weights in one, so that a step computes in room for all, not for the largest.
    """
    counts = [weight.count for weight in made.weights if weight.trained]
    trained = sum(weight.count * weight.bits / 8 for weight in made.weights if weight.trained)
    wider = 4.0 * made.trained / trained if trained else 1.0
    memory = {
        what: replace(each, bytes=each.bytes * wider) if each.of == "states" else each
        for what, each in made.memory.items()
    }
    beside = memory.get(BESIDE_A_STEP)
    if beside is not None and flat and counts:
        memory[BESIDE_A_STEP] = replace(beside, bytes=beside.bytes * sum(counts) / max(counts))
    return replace(made, memory=memory)


def _with_gradients(made: Estimate, zero: Zero, number: int) -> Estimate:
    """Gradients, a bucket of those that are sent and the largest weight's on its way there, and in the step what the
    optimizer is given: all of a part in one, in float32."""
    held = made.trained * number / (zero.processes if zero.stage >= 2 else 1)
    phases: tuple[Phase, ...] = ("forward", "backward", "step") if made.accumulated > 1 else ("backward", "step")
    phases = _FROM_THE_BEGINNING if zero.stage == 3 else phases
    if zero.optimizer == "none":
        made = made.plus("gradients", Memory(held, phases=phases, of="gradients"))
    largest = max((weight.count for weight in made.weights if weight.trained), default=0)
    bucket = min(zero.reduce_bucket or made.hidden_size**2, made.trained) if zero.stage else 0
    several = 2 if zero.overlaps and zero.stage < 3 else 1
    on_the_way = number * (bucket * several + largest)
    bucket_phases: tuple[Phase, ...] = ("backward",) if zero.stage < 3 else ("forward", "backward", "step")
    made = made.plus("gradients that are sent", Memory(on_the_way, phases=bucket_phases, of="other"))
    if not zero.stage:
        return made
    part = made.trained / zero.processes
    part = min(part, zero.sub_group) if zero.stage == 3 else part
    stepped = (4.0 if number == 4 else 6.0) * part
    phases = ("step",) if zero.optimizer == "none" else _FROM_THE_BEGINNING
    return made.plus("gradients in float32", Memory(stepped, phases=phases, of="gradients"))


def _with_live_weights(made: Estimate, zero: Zero, number: int) -> Estimate:
    """With stage 3: weights that come together, and stay until as many others were used as `reuse` says: those of the
    layers that the backward pass begins with, for it comes back to a layer after twice what lies behind that."""
    whole, largest = made.parameters, max((weight.count for weight in made.weights), default=0)
    ahead = zero.prefetch or int(0.9 * made.hidden_size**2)
    live = number * min(whole, zero.reuse // 2 + ahead + largest)
    made = made.plus("weights that come together", Memory(live, phases=("forward", "backward"), of="other"))
    if zero.secondary > 1:
        second = Memory(number * whole / zero.secondary, phases=("forward", "backward"), of="other")
        made = made.plus("weights of a group of processes", second)
    return made


def _gathered_to_save(made: Estimate, zero: Zero, number: int) -> Estimate:
    """The first process has what is trained in the host's memory, to write it; states are written in parts."""
    host = made.machine.device != "cpu"
    size = number * made.trained / (zero.local if host else 1)  # `of_machine` takes it for one of several
    return made.plus("the result, gathered", Memory(size, phases=("save",), on_host=host))


def _offloaded(made: Estimate, zero: Zero) -> Estimate:
    """What is kept in the host's memory, or on its disk."""
    if zero.weights != "none":
        made = on_host(made, "weights")
    if zero.optimizer != "none":
        made = on_host(made, "states", "gradients")
    if "nvme" not in (zero.optimizer, zero.weights):
        return made
    kept = {}
    for what, each in made.memory.items():
        if zero.optimizer == "nvme" and each.of == "states" and "step" in each.phases:
            made = made.storing(f"{what}, offloaded", each.bytes * zero.processes)
            continue
        kept[what] = each
    if zero.weights == "nvme":
        made = made.storing("weights, offloaded", sum(weight.bytes for weight in made.weights) * zero.processes)
        made = replace(made, weights=tuple(replace(weight, part=0.0) for weight in made.weights))
    return replace(made, memory=kept).without("the host's buffers for what is read from nvme")


def _sent(made: Estimate, zero: Zero, number: int) -> Work:
    """Of a step: gradients summed up, or divided; the weights that were stepped, or with stage 3 all of them twice a
    pass."""
    share = (zero.processes - 1) / zero.processes
    gradients = (1 if zero.stage >= 2 else 2) * number * made.trained
    passes = made.accumulated if zero.stage >= 2 else 1
    weights = 2 * number * made.parameters * passes if zero.stage == 3 else number * made.trained * bool(zero.stage)
    return Work(sent=share * (gradients * passes + weights), per="step")
