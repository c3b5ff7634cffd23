"""What a draft's run needs: memory by phase and part, time, disk, whether it fits, and what would make it fit."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose

from tunesmith_library_studio.configuring.drafts import Draft, composed
from tunesmith_library_studio.workspace import Workspace


def figures(
    draft: Draft, workspace: Workspace, catalog: Catalog, *, machine: str = "", advice: bool = False
) -> dict[str, Any]:
    """The figures of a draft that is right.

    Args:
        machine: a device, `rtx4090` or `h100x8`; empty for the one at hand.
        advice: whether changes that make it fit are looked for, which takes seconds.

    Returns: `wrong: true` where the configuration is not right; else as `tunesmith plan --json`, and `verdict`.
    Raises: ConfigError; TunesmithError for a device that nobody knows.
    """
    if importlib.util.find_spec("tunesmith_library_estimates") is None:
        return {"wrong": False, "unknown": ["pip install tunesmith-library-estimates"]}
    from tunesmith_library_estimates import planner
    from tunesmith_library_estimates.machines import machine_named
    from tunesmith_library_estimates.trying import Trials

    made, wanted = composed(draft, workspace, catalog), machine_named(machine) if machine else None
    with _elsewhere(bool(machine)):
        found, problems, manager = examine(made, "train", catalog)
        if planner.has_errors(problems):
            return {"wrong": True}

        def examined(more: Sequence[str]) -> Any:
            if not more:
                return found, problems, manager
            return examine(compose(draft.file, [*draft.overrides, *more], catalog), "train", catalog)

        told = planner.figures(examined, wanted) if advice else planner.Figures(Trials(found, wanted).estimate)
    return {"wrong": False, "advised": advice, **told.told()}


def _elsewhere(named: bool) -> Any:
    """While entered, the GPUs of this machine do not count where others were named."""
    if not named or importlib.util.find_spec("tunesmith_library_launching") is None:
        return nullcontext()
    from tunesmith_library_launching.devices import elsewhere

    return elsewhere()
