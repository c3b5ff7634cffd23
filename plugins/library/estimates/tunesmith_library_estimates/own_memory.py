"""What a process takes itself while it trains, beside what its plugins ask for: libraries, workspaces, fragments.

On CPUs pages of torch's libraries that computing is the first to touch, modules that come with the training, and holes
that glibc keeps between blocks of different lives. On GPUs the context, the workspaces of cuBLAS and cuDNN, and what
torch's allocator rounds up and cannot give away again.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith_library_estimates.estimation import PHASES, Estimate, Memory, Phase

OWN, FRAGMENTS = "torch and its libraries", "fragments of memory"
MAPPED = "the model's file, of which parts are in use"
"""What these are called in an estimate."""

_LIBRARIES = {"cpu": 50 * 2**20, "cuda": 560 * 2**20}  # bytes, by the kind of device
# of what comes and goes: activations, gradients, copies of weights; what is kept lies close together
_SHARES = {"cpu": 0.3, "cuda": 0.04}


def with_own_memory(estimate: Estimate) -> Estimate:
    """Add what the process takes itself, on the kinds of device of which it is known.

    The figures of CPUs are measured (`tests/bench/planner.py`), those of GPUs are a guess.
    """
    device = estimate.machine.device
    if not estimate.weights or device not in _LIBRARIES:
        return estimate
    estimate = _with_mapped_file(estimate)
    moving = max(_moving(estimate, phase) for phase in PHASES)
    made = estimate.plus(OWN, Memory(_LIBRARIES[device]))
    return made.plus(FRAGMENTS, Memory(_SHARES[device] * moving)) if moving else made


def without_own_memory(estimate: Estimate) -> Estimate:
    """The estimate of what torch allocates, to compare it with torch's own accounting."""
    kept = {what: memory for what, memory in estimate.memory.items() if what not in (OWN, FRAGMENTS)}
    return replace(estimate, memory=kept)


def _with_mapped_file(estimate: Estimate) -> Estimate:
    """Add what a CPU holds of the model's file beside the weights that stay as they are in it.

    These are mapped, not copied, and with them the file is held whole: where others are quantised, or trained in
    float32, what they were is there too. Files are taken to be in 16 bits.
    """
    if estimate.machine.device != "cpu" or estimate.precision == "fp32":
        return estimate
    own = [weight for weight in estimate.weights if weight.kind != "other"]
    changed = sum(2.0 * weight.count for weight in own if weight.bits != 16)
    stays = any(weight.bits == 16 for weight in own)
    return estimate.plus(MAPPED, Memory(changed, of="weights")) if changed and stays else estimate


def _moving(estimate: Estimate, phase: Phase) -> float:
    """Bytes on the device that are there in this phase and not in all of them."""
    return sum(
        memory.bytes + memory.bytes_per_token * estimate.tokens
        for memory in estimate.memory.values()
        if phase in memory.phases
        and memory.of in ("activations", "gradients", "weights")
        and not memory.on_host
        and len(memory.phases) < len(PHASES)
    )
