"""What each of several processes has: parts of weights, gradients and optimizer states, whole layers for a while.

Sizes of PyTorch's `DistributedDataParallel` and `fully_shard`; those of DeepSpeed are in `zero`. What is sent is that
of ring collectives: of n processes each sends (n − 1) / n of what is gathered or scattered, twice that of what is
summed up (Patarasuk and Yuan 2009, section 2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Content, Estimate, Memory, Phase, Weight
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.working import Work

CASTS = "weights in 16 bits"
"""What autocast makes of weights that are wider; not there where they come together in 16 bits."""

_TRAINING: tuple[Phase, ...] = ("forward", "backward", "step", "generate", "save")


@dataclass(frozen=True)
class Started:
    """The processes of a run."""

    total: int
    local: int  # of one machine


@dataclass(frozen=True)
class Sharding:
    """How `fully_shard` divides a model."""

    shards: int  # processes that have parts of the same weights
    copies: int = 1  # whole models among the processes
    casts: bool = False  # weights are sent and computed with in 16 bits
    reshards: bool = True  # a layer's weights are let go after its forward pass
    offloads: bool = False  # to the host's memory
    gathers: bool = True  # whole weights and states are gathered to the first process, to be saved
    local: int = 1  # processes of a machine


def among(estimate: Estimate, started: Started, alike: int = 1) -> Estimate:
    """The estimate of one of several processes, before anything is divided.

    The memory of a CPU is shared by all processes of the machine; of the host's memory they all need their own.

    Args:
        alike: of them see the same examples.
    """
    machine = estimate.machine
    if machine.device == "cpu" and machine.room is not None and started.local > 1:
        machine = replace(machine, room=Room(machine.room.total / started.local, machine.room.share))
    made = replace(estimate, processes=max(started.total // alike, 1), machine=machine)
    if started.total > started.local:
        made = made.without("what is sent between machines takes as long as within one: their network is not known")
    return made


def of_machine(estimate: Estimate, started: Started) -> Estimate:
    """The estimate with what all processes of a machine need of its memory, where one process's has been said."""
    if started.local == 1:
        return estimate
    weights = tuple(
        replace(each, part=each.part * started.local) if each.on_host else each for each in estimate.weights
    )
    memory = {what: each.times(started.local) if each.on_host else each for what, each in estimate.memory.items()}
    return replace(estimate, weights=weights, memory=memory)


def divided(estimate: Estimate, parts: int, *contents: Content) -> Estimate:
    """The estimate with one of equal parts of what stays: of weights, another model's too, gradients or states.

    Copies of weights that are there in a pass alone are not among them.
    """
    weights = estimate.weights
    if "weights" in contents:
        weights = tuple(replace(weight, part=weight.part / parts) for weight in weights)
    memory = {
        what: replace(each, bytes=each.bytes / parts) if each.of in contents and "step" in each.phases else each
        for what, each in estimate.memory.items()
    }
    return replace(estimate, weights=weights, memory=memory)


def sharing_batches(estimate: Estimate, size: int) -> Estimate:
    """The estimate with one of equal parts of the tokens of each batch, and of what they cost."""
    if size == 1:
        return estimate
    shared = {what: each.of_part(1 / size) for what, each in estimate.memory.items()}
    again = {what: each.of_part(1 / size) for what, each in estimate.recomputed.items()}
    made = replace(estimate, memory=shared, recomputed=again)
    return replace(made, flops_per_token=made.flops_per_token / size, flops_per_pair=made.flops_per_pair / size)


def replicated(estimate: Estimate, processes: int) -> Estimate:
    """Copies of the model on so many processes: gradients are summed up in buckets, which hold all of them once more.

    Accelerate leaves `gradient_as_bucket_view` off.
    """
    if processes == 1:
        return estimate
    gradients = sum(weight.bytes for weight in estimate.weights if weight.trained)
    made = estimate.plus("buckets of gradients", Memory(gradients, phases=_TRAINING, of="gradients"))
    return made.doing("gradients summed up", Work(sent=2 * _sent(gradients, processes), per="step"))


def fully_sharded(estimate: Estimate, sharding: Sharding) -> Estimate:
    """A model whose weights, gradients and states are divided, and whose layers come together one after the other.

    There are the weights of two layers at a time, the one that is computed and the next, and of the layer that was last
    in the backward pass the gradients as they are sent, in float32. What is in no layer stays from its forward pass to
    the end of the backward pass.
    """
    if sharding.shards == 1:
        return estimate
    outside, layers = by_layer(estimate.weights)
    sizes = [_Group.of(weights, sharding.casts) for weights in layers] or [_Group()]
    root, most = _Group.of(outside, sharding.casts), _largest(sizes)
    whole = sum(each.weights for each in sizes)
    live = 2 * most.weights if sharding.reshards else whole + most.weights
    in_backward = live + most.gradients + most.sent + root.head_gradients
    at_the_end = (0 if sharding.reshards else whole) + root.gradients + root.sent
    loaded = sum(weight.bytes for weight in estimate.weights)
    made = divided(estimate, sharding.shards, "weights", "gradients", "states")
    if sharding.casts:
        made = replace(made, memory={what: each for what, each in made.memory.items() if what != CASTS})
    if sharding.offloads:
        made = on_host(made, "weights", "gradients", "states")
    rest = loaded - (0 if sharding.offloads else loaded / sharding.shards)
    made = made.plus("weights before they are divided", Memory(rest, phases=("load",), of="weights"))
    made = made.plus(
        "weights outside of layers, gathered", Memory(root.weights, phases=("forward", "backward"), of="other")
    )
    made = made.plus("weights of layers, gathered", Memory(live, phases=("forward",), of="other"))
    made = made.plus(
        "weights and gradients, gathered", Memory(max(in_backward, at_the_end), phases=("backward",), of="other")
    )
    if sharding.gathers:
        made = _gathered_to_save(made, sharding)
    return made.doing("weights gathered, gradients divided", _sent_by_sharding(made, sharding, [root, *sizes]))


def by_layer(weights: Iterable[Weight]) -> tuple[list[Weight], list[list[Weight]]]:
    """The weights that are in no layer of the language model, and those of each."""
    found: dict[int | None, list[Weight]] = defaultdict(list)
    for weight in weights:
        found[layer_of(weight) if weight.stands_in == "language" else None].append(weight)
    return found.pop(None, []), list(found.values())


def on_host(estimate: Estimate, *contents: Content) -> Estimate:
    """The estimate with what stays of these in the host's memory; on a CPU it is there already."""
    if estimate.machine.device == "cpu":
        return estimate
    weights = estimate.weights
    if "weights" in contents:
        weights = tuple(replace(weight, on_host=True) for weight in weights)
    memory = {
        what: replace(each, on_host=True) if each.of in contents and "step" in each.phases else each
        for what, each in estimate.memory.items()
    }
    return replace(estimate, weights=weights, memory=memory)


@dataclass(frozen=True)
class _Group:
    """What comes together at once: bytes."""

    weights: float = 0.0
    gradients: float = 0.0  # as wide as what is computed with
    sent: float = 0.0  # the same in float32
    head_gradients: float = 0.0  # of the output layer: there from the loss on

    @classmethod
    def of(cls, weights: Sequence[Weight], casts: bool) -> _Group:
        trained = [weight for weight in weights if weight.trained]
        heads = [weight for weight in trained if weight.kind == "head"] or [
            weight for weight in trained if weight.kind == "embedding"
        ]
        return cls(
            sum(_width(weight, casts) * weight.part * weight.count for weight in weights),
            sum(_width(weight, casts) * weight.part * weight.count for weight in trained),
            sum(4.0 * weight.part * weight.count for weight in trained),
            sum(_width(weight, casts) * weight.part * weight.count for weight in heads),
        )


def _width(weight: Weight, casts: bool) -> float:
    """Bytes of a number that is sent and computed with."""
    return 2.0 if casts and weight.bits >= 16 else weight.bits / 8


def _largest(groups: Iterable[_Group]) -> _Group:
    return max(groups, key=lambda group: 2 * group.weights + group.gradients + group.sent)


def _sent(size: float, processes: int) -> float:
    return size * (processes - 1) / processes


def _sent_by_sharding(made: Estimate, sharding: Sharding, groups: Collection[_Group]) -> Work:
    """Of a step: weights twice a pass, or once where they are kept; gradients in float32 once a pass, and summed up
    over the copies of the model."""
    weights, gradients = sum(group.weights for group in groups), sum(group.sent for group in groups)
    of_pass = _sent((1 + sharding.reshards) * weights + gradients, sharding.shards)
    of_copies = 2 * _sent(gradients / sharding.shards, sharding.copies)
    return Work(sent=made.accumulated * (of_pass + of_copies), per="step")


def _gathered_to_save(made: Estimate, sharding: Sharding) -> Estimate:
    """The first process of all has what is saved in its host's memory: what is trained, and the optimizer's states."""
    saved = sum(weight.bytes for weight in made.weights if weight.trained)
    saved += sum(each.bytes for each in made.memory.values() if each.of == "states")
    host = made.machine.device != "cpu"
    each = saved * sharding.shards / (sharding.local if host else 1)  # `of_machine` takes it for one of several
    return made.plus("a checkpoint, gathered", Memory(each, phases=("save",), on_host=host))
