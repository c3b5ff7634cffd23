"""Plans judged by what the selected plugins say they do with the weights, and which others would suit.

A quantizer that does not say what it can do is taken to train adapters and to do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.planning import Plan
from tunesmith.traits import traits_of
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
    beside = suitable(plan, "adapter", lambda traits: traits.beside) or "an adapter beside the model"
    return [Problem("adapter.name", message, f"{beside}, or quantizer=null")]


def suitable(plan: Plan, kind: str, fits: Callable[[Any], bool]) -> str:
    """Advice: the installed plugins of a kind whose traits fit, as `adapter=full or adapter=mine`; "" without any."""
    found = plan.installed(kind).items()
    return " or ".join(f"{kind}={name}" for name, plugin in found if fits(traits_of(kind, plugin)))


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
