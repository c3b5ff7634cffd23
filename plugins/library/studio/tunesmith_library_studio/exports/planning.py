"""What an export needs, and what is wrong with it, before it is made. It imports plugins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose


def planned(source: str | None, changes: Sequence[str], catalog: Catalog) -> dict[str, Any]:
    """The problems of an export and, where there is no error among them, what it needs.

    Returns: as `tunesmith plan --for export --json`.
    Raises: TunesmithError where the configuration cannot be read.
    """
    found, problems, _ = examine(compose(source, list(changes), catalog), "export", catalog)
    told: dict[str, Any] = {"problems": [{**vars(problem), "key": str(problem.key)} for problem in problems]}
    wrong = any(problem.severity == "error" for problem in problems)
    if wrong or importlib.util.find_spec("tunesmith_library_estimates") is None:
        return told
    from tunesmith_library_estimates.planner import Figures
    from tunesmith_library_estimates.trying import Trials

    return {**told, **Figures(Trials(found, None).estimate).told()}
