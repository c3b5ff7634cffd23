"""How long a run takes: what it computes, over what its device can do (Williams, Waterman and Patterson 2009).

A step is the sum of three terms: products of matrices; what is read and written of the device's memory; and calls, for
each operation has to be asked for. The rates are what the device's maker says, times what training usually reaches of
it, until runs on this machine have told: see `learned`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.kept import is_thin
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.training import backward
from tunesmith_library_estimates.working import Work

# of the published products, by the device: on a GPU what published trainings of 1B to 70B reach (35 to 55 %), on a CPU
# what was measured on one with AVX-512
_REACHED = {"cuda": 0.45, "cpu": 0.8, "mps": 0.5, "npu": 0.4, "hpu": 0.5}
# what attention reaches of that, of fp32 on a CPU: its products are small, one for each head and sequence
_OF_ATTENTION = {"cuda": 0.6, "cpu": 0.7}
# its backward pass, in forward passes: scores are computed again
_BACKWARD_OF_ATTENTION = {"cpu": 4.0}
_BANDWIDTH_REACHED, _LINK_REACHED = 0.8, 0.7
_CALL = {"cuda": 4e-6, "cpu": 10e-6}  # seconds
_CALLS_OF_A_WEIGHT, _CALLS_OF_AN_UPDATE = 12, 4  # operations: of a forward pass, with norms and the like; of a step
# bytes that norms, activations and residuals read and write for each input and output of a matrix, in a forward pass,
# and those of the loss for each logit
_ELEMENTWISE, _OF_LOGITS = {"cpu": 6.0}, 14.0
# bytes that the time of a score of attention stands for, in a forward pass: on a CPU that of its exponential; on others
# it passes beside products
_OF_SCORES = {"cpu": 24.0}
_OF_AN_ADAPTER = (
    1 / 3
)  # of the calls and of what is read and written beside a matrix: its two have no norms and the like
_USUAL_HEAD = 64  # its width, where nobody knows
_LOOP = 5e-3  # seconds of a step beside its model: the loop, its log, its batch


@dataclass(frozen=True)
class Terms:
    """Seconds of a step, by what they pass with."""

    products: float
    traffic: float
    calls: float
    other: float = 0.0  # of programs that are waited for, and of what goes between devices

    @property
    def total(self) -> float:
        return self.products + self.traffic + self.calls + self.other

    @property
    def bound(self) -> str:
        """What takes the most of it."""
        named = {"products of matrices": self.products, "reading and writing memory": self.traffic}
        named |= {"calls of operations": self.calls, "what goes between devices, or is waited for": self.other}
        return max(named, key=lambda name: named[name])

    def __add__(self, other: Terms) -> Terms:
        return Terms(*(one + another for one, another in zip(self.parts, other.parts, strict=True)))

    def __mul__(self, times: float) -> Terms:
        return Terms(*(times * part for part in self.parts))

    @property
    def parts(self) -> tuple[float, float, float, float]:
        return self.products, self.traffic, self.calls, self.other


def can_tell(machine: Machine) -> bool:
    """Whether it is known how fast a device is."""
    return bool(machine.flops) and machine.bandwidth > 0


def examples_of_a_step(estimate: Estimate) -> float:
    """Those that one process sees."""
    if estimate.of_step:
        return float(estimate.of_step)
    return max(estimate.sequences / estimate.per_example, 1) * estimate.accumulated


def mean_length(estimate: Estimate) -> float:
    """Tokens of an example in all its sequences, on average; where nobody knows, as many as may be."""
    most = estimate.length * estimate.per_example
    return min(estimate.data.tokens or most, most or math.inf) if estimate.data.tokens else float(most)


def tokens_of_a_step(estimate: Estimate) -> float:
    """Tokens that one process computes in a step, on average, with what pads them."""
    padded = _padded_length(estimate)
    return (mean_length(estimate) if padded is None else padded) * examples_of_a_step(estimate)


def _padded_length(estimate: Estimate) -> float | None:
    """Tokens of an example where all of a pass are as long as the longest of them; None where they are not."""
    examples, most = estimate.sequences // estimate.per_example, estimate.length * estimate.per_example
    longest = estimate.data.longest_of(examples) if estimate.padded and examples > 1 else None
    return None if longest is None else min(longest, most or math.inf)


def _attended_length(estimate: Estimate) -> float:
    """Tokens of the sequence that a token is in, on average."""
    most = estimate.length * estimate.per_example or math.inf
    found = _padded_length(estimate) or min(estimate.data.around_a_token or most, most)
    return found / estimate.per_example if math.isfinite(found) else 1.0


def training_step(estimate: Estimate, tokens: float | None = None) -> Terms:
    """A step of the training of one process.

    Args:
        tokens: that it computes; None is as many as on average.
    """
    tokens = tokens_of_a_step(estimate) if tokens is None else tokens
    passes = max(_passes(estimate, tokens), 1)
    model = _model(estimate, tokens, passes, estimate.passes)
    trained = [weight for weight in estimate.weights if weight.trained]
    states = sum(memory.bytes for memory in estimate.memory.values() if memory.of == "states")
    updated = sum(4 * weight.bytes for weight in trained) + 2 * states  # with gradients, which are clipped
    traffic = updated / _bandwidth(estimate.machine)
    calls = _call(estimate.machine) * _CALLS_OF_AN_UPDATE * len(trained) + _LOOP
    return model + Terms(0, traffic, calls) + _works(estimate, tokens)


def evaluation(estimate: Estimate) -> Terms:
    """One evaluation of what is held out: forward passes."""
    examples = estimate.data.held_out / max(estimate.processes, 1)
    tokens = mean_length(estimate) * examples
    passes = math.ceil(examples / max(estimate.sequences / estimate.per_example, 1))
    return _model(estimate, tokens, passes, 1.0) if examples else Terms(0, 0, 0)


def _model(estimate: Estimate, tokens: float, passes: float, costs: float) -> Terms:
    """So many passes through the model. Args: costs: of each token, in forward passes."""
    machine = estimate.machine
    above, trained = backward(estimate) if costs > 1 else (0.0, 0.0)
    through = max(costs - trained, 1.0)  # forward, back to the first that is trained, and again
    matrices = [weight for weight in estimate.weights if weight.is_matrix]
    wide = 2 if estimate.precision == "fp32" and machine.device != "cpu" else 1
    met = sum(_inputs_and_outputs(weight, estimate.experts_per_token) for weight in matrices)
    learned = _learned(estimate)
    logits = min(costs, 2) / 2 * learned * estimate.vocabulary  # their gradient is computed beside them
    elementwise = through * _ELEMENTWISE.get(machine.device, 13.0) * met + _OF_LOGITS * logits
    moved = tokens * wide * elementwise
    read = costs * passes * sum(_read(weight) for weight in matrices)
    calls = _call(machine) * _CALLS_OF_A_WEIGHT * sum(map(_share, matrices)) * through * passes
    left_out = 2 * estimate.vocabulary * estimate.hidden_size * (1 - learned)
    flops = costs * max(estimate.flops_per_token - left_out, 0.0)
    products = flops * tokens / _products(machine, estimate.precision)
    back = above * _BACKWARD_OF_ATTENTION.get(machine.device, 2.5)
    attention = _attention(estimate) * (tokens * (through - above + back))
    return attention + Terms(products, (moved + read) / _bandwidth(machine), calls)


def _learned(estimate: Estimate) -> float:
    """The share of a step's tokens, those included that pad them, that logits are computed of."""
    padded = _padded_length(estimate)
    return estimate.data.learned * (1.0 if padded is None else min(mean_length(estimate) / padded, 1.0))


def _attention(estimate: Estimate) -> Terms:
    """Of a token, in a forward pass, beside the products with weights."""
    machine, length = estimate.machine, _attended_length(estimate)
    flops = replace(estimate, length=max(round(length), 1), passes=1.0).flops - estimate.flops_per_token
    rate = _products(machine, "fp32" if machine.device == "cpu" else estimate.precision)
    scores = flops / (4 * (estimate.head_width or _USUAL_HEAD))
    moved = scores * _OF_SCORES.get(machine.device, 0.0)
    return Terms(flops / (rate * _OF_ATTENTION.get(machine.device, 0.3)), moved / _bandwidth(machine), 0.0)


def _inputs_and_outputs(weight: Weight, experts: int) -> float:
    if weight.kind == "head":
        return 0
    times = experts if weight.kind == "experts" else 1
    return times * (weight.shape[-1] + weight.shape[-2]) * _share(weight)


def _share(weight: Weight) -> float:
    return _OF_AN_ADAPTER if is_thin(weight) else 1.0


def _read(weight: Weight) -> float:
    """Bytes of a weight in a pass: those in few bits are written in 16, and read again."""
    return weight.bytes + (2 * 2 * weight.count * weight.part if weight.bits < 15 else 0)


def _passes(estimate: Estimate, tokens: float) -> int:
    """Forward passes of a step, merged ones as one."""
    if not estimate.merged:
        return estimate.accumulated
    return min(estimate.accumulated, math.ceil(tokens / max(estimate.tokens, 1)))


def _works(estimate: Estimate, tokens: float) -> Terms:
    """What else is computed in a step."""
    machine, found = estimate.machine, Terms(0, 0, 0)
    times = {"token": tokens, "example": examples_of_a_step(estimate), "step": 1.0, "run": 0.0}
    for work in estimate.work.values():
        found = found + of_work(work, machine, estimate.precision) * times[work.per]
    return found


def of_work(work: Work, machine: Machine, precision: str) -> Terms:
    """Something else that is computed, once: as long as the slowest of its parts."""
    parts = [
        work.flops / _products(machine, precision),
        work.bytes / _bandwidth(machine),
        0.0,
        max(work.sent / (_LINK_REACHED * machine.link) if machine.link else 0.0, work.seconds),
    ]
    slowest = max(range(4), key=lambda index: parts[index])
    return Terms(*(part if index == slowest else 0.0 for index, part in enumerate(parts)))


def _products(machine: Machine, precision: str) -> float:
    """FLOP/s that training reaches; where a device does not have a precision, those of fp32."""
    return _REACHED.get(machine.device, 0.4) * (machine.flops.get(precision) or machine.flops["fp32"])


def _bandwidth(machine: Machine) -> float:
    return _BANDWIDTH_REACHED * machine.bandwidth


def _call(machine: Machine) -> float:
    return _CALL.get(machine.device, 6e-6)
