"""What Adam-mini remembers of a weight, and what its update needs beside that; without torch."""

from __future__ import annotations

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import in_turn, optimizer_bytes


def estimate_mini(estimate: Estimate) -> Estimate:
    """A moment of each number, and one of each block: of attention heads so few that they are left out.

    A step needs the direction of one weight, and until it has that, the one of the weight before.
    """

    def blocks(weight: Weight) -> int:
        if weight.name.endswith("bias"):
            return weight.count
        if len(weight.shape) < 2:
            return 1
        heads = weight.name.endswith(("q_proj.weight", "k_proj.weight"))
        return 0 if heads else weight.count // weight.shape[-1]

    def state(weight: Weight) -> float:
        return (weight.count + blocks(weight)) * weight.bits / 8

    trained = [weight for weight in estimate.weights if weight.trained]

    def squares(weight: Weight) -> float:
        """The larger of direction and squared gradient, which is not there with it."""
        return weight.bytes

    return optimizer_bytes(estimate, state, in_turn(trained, squares, squares))
