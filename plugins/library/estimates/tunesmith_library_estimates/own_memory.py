"""What a process takes itself while it trains, beside what its plugins ask for: libraries, workspaces, fragments.

On CPUs pages of torch's libraries that computing is the first to touch, modules that come with the training, and holes
that glibc keeps between blocks of different lives. On GPUs the context, the workspaces of cuBLAS and cuDNN, and what
torch's allocator rounds up and cannot give away again.
"""

from __future__ import annotations

from tunesmith_library_estimates.estimation import Estimate, Memory

OWN = "torch and its libraries"
"""What that is called in an estimate."""

_LIBRARIES = {"cpu": 52 * 2**20, "cuda": 560 * 2**20}  # bytes, by the kind of device
_SHARES = {"cpu": 0.11, "cuda": 0.04}  # of activations and gradients, which come and go, that is in fragments


def with_own_memory(estimate: Estimate) -> Estimate:
    """Add what the process takes itself, for a kind of device that it was measured for: `tests/bench/planner.py`."""
    device = estimate.machine.device
    if not estimate.weights or device not in _LIBRARIES:
        return estimate
    of_device = [memory for memory in estimate.memory.values() if not memory.on_host]
    moving = sum(
        memory.bytes + memory.bytes_per_token * estimate.tokens
        for memory in of_device
        if memory.of == "activations" and "forward" in memory.phases
    )
    return estimate.plus(OWN, Memory(_LIBRARIES[device] + _SHARES[device] * moving))
