"""What a process takes itself while it trains, beside what its plugins ask for: libraries, workspaces, fragments.

On CPUs pages of torch's libraries that computing is the first to touch, modules that come with the training, and holes
that glibc keeps between blocks of different lives. On GPUs the context, the workspaces of cuBLAS and cuDNN, and what
torch's allocator rounds up and cannot give away again.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith_library_estimates.activations import AT_LAST, KEPT
from tunesmith_library_estimates.estimation import PHASES, Estimate, Memory, Phase

OWN, FRAGMENTS, HOLES = "torch and its libraries", "fragments of memory", "memory that is free, in small pieces"
MAPPED = "the model's file, of which parts are in use"
"""What these are called in an estimate."""

_LIBRARIES = {"cpu": 50 * 2**20, "cuda": 560 * 2**20}  # bytes, by the kind of device
# of what comes and goes: activations, gradients, copies of weights; what is kept lies close together
_SHARES = {"cpu": 0.4, "cuda": 0.04}
_RETURNED = 32 * 2**20  # bytes of a block from which on glibc gives it back to the system when it is freed
_BLOCKS = 2  # of logits, which are just below that
_LEAST = 16  # bits of a number that is not quantised
_LATER: tuple[Phase, ...] = ("forward", "backward", "step", "generate", "save")
_WORKING: tuple[Phase, ...] = ("forward", "backward", "step", "generate")  # what is free goes back before the saving


def with_own_memory(estimate: Estimate) -> Estimate:
    """Add what the process takes itself, on the kinds of device of which it is known.

    The figures of CPUs are measured (`tests/bench/planner.py`), those of GPUs are a guess.
    """
    device = estimate.machine.device
    if not estimate.weights or device not in _LIBRARIES:
        return estimate
    made = _with_files(estimate) if device == "cpu" else estimate
    again = made.computing_again() if made.recomputed else None
    made = _with_fragments(made.plus(OWN, Memory(_LIBRARIES[device], phases=_LATER if device == "cpu" else PHASES)))
    if again is None:
        return made
    kept = {what: memory for what, memory in _with_fragments(again).memory.items() if what in (FRAGMENTS, HOLES)}
    nothing = {what: Memory() for what in (FRAGMENTS, HOLES) if what in made.memory}
    return replace(made, recomputed={**made.recomputed, **nothing, **kept})


def without_own_memory(estimate: Estimate) -> Estimate:
    """The estimate of what torch allocates, to compare it with torch's own accounting."""
    kept = {what: memory for what, memory in estimate.memory.items() if what not in (OWN, FRAGMENTS, HOLES)}
    return replace(estimate, memory=kept)


def _with_files(estimate: Estimate) -> Estimate:
    """Add what a CPU holds of the model's file beside the weights that stay as they are in it, and of the result's.

    A file is mapped, not copied, and held whole as long as one weight of it is in use: what was changed to other
    numbers, or put together to fused experts, is there too. What a quantizer leaves is copied out of it
    (`tunesmith_library_weights.mapped`).
    """
    own = [weight for weight in estimate.weights if weight.kind != "other"]
    bits = estimate.stored_bits
    stays = sum(bits / 8 * weight.count for weight in own if weight.bits == bits and weight.kind != "experts")
    changed = sum(bits / 8 * weight.count for weight in own) - stays
    quantised = any(weight.bits < _LEAST for weight in own)
    if changed:
        counted = estimate.memory.get("weights before they are quantised", Memory()).bytes
        read = max(changed - counted, 0.0) + (stays if quantised else 0.0)
        estimate = estimate.plus("the model's file, which is read", Memory(read, phases=("load",), of="weights"))
    if changed and stays and not quantised:
        estimate = estimate.plus(MAPPED, Memory(changed, phases=_LATER, of="weights"))
    if not estimate.pauses.whole:
        return estimate
    one = max((weight.bytes for weight in own), default=0.0)  # a copy of it before it is rounded
    written = sum(bits / 8 * weight.count for weight in own) + one
    return estimate.plus("the result, as it is written", Memory(written, phases=("save",), of="weights"))


def _with_fragments(estimate: Estimate) -> Estimate:
    """Add what the allocator holds and does not use: of the phase in which the most comes and goes.

    On a CPU large blocks go back to the system at once, and small ones leave holes, into which large blocks of the
    step do not fit, and neither one layer's activations into those of the logits: where they are computed again, and
    one layer's are more than what all keep, the two are what is held.
    """
    device = estimate.machine.device
    on_cpu = device == "cpu"
    forward, backward, step = (_moving(estimate, phase, on_cpu) for phase in ("forward", "backward", "step"))
    most = max(forward, backward, key=estimate.size_of)
    if not estimate.size_of(most):
        return estimate
    held = most.times(_SHARES[device])
    if on_cpu:
        held = max(held, _by_turns(estimate), key=estimate.size_of)
    made = estimate.plus(FRAGMENTS, replace(held, phases=_WORKING if on_cpu else _LATER))
    left = estimate.size_of(forward) - estimate.size_of(step)
    return made.plus(HOLES, Memory(left, phases=("step",))) if on_cpu and left > 0 else made


def _by_turns(estimate: Estimate) -> Memory:
    """The logits, as far as they are in blocks that are kept, and one layer's activations, which come after them."""
    logits = estimate.size_of(estimate.memory.get("logits", Memory()))
    layer = estimate.memory.get(AT_LAST, Memory())
    if estimate.size_of(layer) <= estimate.size_of(estimate.memory.get(KEPT, Memory())):
        return Memory()
    return replace(layer, bytes=layer.bytes + min(logits, _BLOCKS * _RETURNED))


def _moving(estimate: Estimate, phase: Phase, small: bool) -> Memory:
    """What is on the device in this phase and not in all later ones.

    Args:
        small: without large blocks: gradients of large weights, and logits.
    """
    trained = [weight.bytes for weight in estimate.weights if weight.trained]
    large = sum(size for size in trained if size >= _RETURNED)
    found = Memory(phases=_LATER)
    for what, memory in estimate.memory.items():
        if phase not in memory.phases or memory.on_host or memory.of not in ("activations", "gradients", "weights"):
            continue
        if set(_LATER) <= set(memory.phases) or (small and what == "logits"):
            continue
        fixed = max(memory.bytes - large, 0.0) if small and memory.of == "gradients" else memory.bytes
        found = replace(
            found,
            bytes=found.bytes + fixed,
            bytes_per_token=found.bytes_per_token + memory.bytes_per_token,
            bytes_per_pair=found.bytes_per_pair + memory.bytes_per_pair,
        )
    return found
