"""Whether a batch's loss is the sum of what its examples would have alone, as the plan tells it; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.traits import traits_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def not_additive(plan: Plan) -> str:
    """Why examples may have another loss in a batch with others; empty where they have not.

    A stage says it in its traits. Of other plugins that compute the loss, or wrap that, it is the class attribute
    `additive`; one that does not say it is taken to look at the batch as a whole.
    """
    for item in plan.selected:
        kind, name = item.entry.kind, item.entry.name
        if not hasattr(item.instance, "compute_loss") or (kind == "stage" and plan.uses("loss")):
            continue
        said = traits_of(kind, item.instance) if kind == "stage" else item.instance
        if not getattr(said, "additive", False):
            return f"{kind}={name} does not say that its loss is the sum of its examples' own"
    return ""
