"""Plans judged by what the selected quantizer says it can do with the weights.

A quantizer that does not say what it can do is taken to train adapters and to do nothing else.
"""

from __future__ import annotations

from tunesmith.planning import Plan
from tunesmith.types import Problem


def few_bits(plan: Plan, verb: str = "train") -> list[Problem]:
    """The problem of an adapter that trains the base's own weights where a quantizer stores few bits of them.

    Args:
        verb: what the adapter would do with the weights, as in `copy and train`.
    """
    can = plan.traits("quantizer")
    if plan.command != "train" or can is None or can.trains_base:
        return []
    adapter, quantizer = plan.name("adapter"), plan.name("quantizer")
    message = f"adapter={adapter} cannot {verb} the few bits that quantizer={quantizer} stores."
    return [Problem("adapter.name", message, "adapter=lora, or quantizer=null")]


def unmergeable(plan: Plan, key: str, message: str, advice: str) -> list[Problem]:
    """A problem where an adapter would be folded into weights that the quantizer cannot take it into.

    Args:
        key: the option that asks for merging.
        message: what is wrong; `{quantizer}` is its name.
    """
    can = plan.traits("quantizer")
    if can is None or can.merges:
        return []
    return [Problem(key, message.format(quantizer=plan.name("quantizer")), advice)]
