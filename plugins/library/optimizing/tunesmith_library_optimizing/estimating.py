"""What optimizers that project gradients to a low rank cost; without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.training import BESIDE_A_STEP, in_turn, optimizer_bytes
from tunesmith_library_weights.patterns import matches_any


@dataclass(frozen=True)
class LowRank:
    """How an optimizer projects: what `groups.low_rank_optimizer` is told."""

    target_modules: Sequence[str] | str
    rank: int
    layerwise: bool  # each gradient is used up within the backward pass, so that the largest is all there is at a time
    numbers: Callable[[int, int], float]  # how many the state of a projected matrix has, by its rows and columns
    # bytes that its update needs beside that, by its rows and columns and the bytes of one of its numbers
    beside: Callable[[int, int, float], float]

    def projects(self, weight: Weight) -> bool:
        """Whether a weight is projected."""
        if weight.kind not in ("linear", "head", "experts") or min(weight.shape[-2:]) <= self.rank:
            return False
        patterns = [self.target_modules] if isinstance(self.target_modules, str) else list(self.target_modules)
        chosen = weight.kind != "head" if patterns == ["all"] else False
        return chosen or matches_any(weight.name.removesuffix(".weight"), patterns)

    def state(self, weight: Weight) -> float:
        """Bytes of the state of a weight: Adam's where it is not projected."""
        if not self.projects(weight):
            return 2 * weight.bytes
        *experts, rows, columns = weight.shape
        return prod(experts) * self.numbers(rows, columns) * weight.bits / 8

    def update(self, weight: Weight) -> float:
        """Bytes that the update of a weight needs beside its state."""
        if not self.projects(weight):
            return 2 * weight.bytes
        *experts, rows, columns = weight.shape
        return prod(experts) * self.beside(rows, columns, weight.bits / 8)


def estimate_low_rank(estimate: Estimate, projection: LowRank) -> Estimate:
    """Add the states of `groups.low_rank_optimizer`: of projected matrices what is said here, of others Adam's."""
    trained = [weight for weight in estimate.weights if weight.trained]
    own = {weight.name for weight in trained if projection.projects(weight)}
    made = optimizer_bytes(estimate, projection.state, in_turn(trained, projection.update))
    made = made.updating(f"optimizer, gradients projected to rank {projection.rank}", own)
    if projection.rank > 1:
        half = f"optimizer.rank={projection.rank // 2}"
        made = made.offering(Change((half,), "exactness", "gradients in a subspace of half the rank"))
    if not projection.layerwise:
        return made.offering(_layerwise(made))
    largest = max((weight.bytes for weight in trained), default=0.0)
    beside = made.memory[BESIDE_A_STEP].bytes if BESIDE_A_STEP in made.memory else 0.0
    made = made.plus(BESIDE_A_STEP, Memory(beside, phases=("backward",), of="states"))
    return made.plus("gradients", Memory(largest, phases=("backward",), of="gradients"))


def of_svd(rows: int, columns: int, width: float) -> float:
    """Bytes that the singular vectors of a gradient need: in float32 a copy of it, its left and its right ones.

    Args:
        width: bytes of a number of the gradient, which becomes float32 first.
    """
    copies = 2 if width >= 4 else 3
    return 4.0 * (copies * rows * columns + min(rows, columns) ** 2)


def _layerwise(estimate: Estimate) -> Change:
    """Updates inside the backward pass, with what they ask for: no clipping, and no accumulation."""
    overrides = ["optimizer.layerwise=true", "trainer.max_grad_norm=0"]
    gradients = estimate.memory.get("gradients")
    if gradients is not None and "forward" in gradients.phases:  # several passes make a step
        overrides.append("trainer.gradient_accumulation_steps=1")
    return Change(tuple(overrides), "method", "each gradient is used up as soon as it is there, and none is clipped")
