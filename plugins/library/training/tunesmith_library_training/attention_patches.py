"""Patches that put in another attention: a model has room for one of them. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def check_alone(plan: Plan, patch: Any) -> list[Problem]:
    """A problem for each selected patch after this one that says how attention is computed, too.

    Every such patch asks; each pair is reported once.
    """
    names = [name for name in plan.names("patch") if plan.traits("patch", name).attention]
    own = next((number for number, name in enumerate(names) if plan.plugin("patch", name) is patch), len(names))
    return [
        Problem(
            f"patch.{name}",
            f"patch.{names[own]} and patch.{name} both say how attention is computed.",
            "leave one of them out",
        )
        for name in names[own + 1 :]
    ]
