"""Plans that the selected quantizer cannot carry out, judged by its traits.

A quantizer that does not say what it can do is taken to train adapters and to do nothing else.
"""

from __future__ import annotations

from tunesmith.planning import Plan
from tunesmith.types import Problem


def untrainable(plan: Plan) -> list[Problem]:
    """The problem of training over weights that pass no gradient; [] where adapters learn, or nothing is trained."""
    can = plan.traits("quantizer")
    if plan.command != "train" or can is None or can.trains:
        return []
    message = f"nothing can be trained over the weights of quantizer={plan.name('quantizer')}, which pass no gradient."
    return [Problem("quantizer.name", message, "another quantizer, or quantizer=null; it may serve what was trained")]
