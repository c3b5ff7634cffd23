"""Which plugins implement which hook, for `tunesmith plan`."""

from __future__ import annotations

import pluggy
from tunesmith import hookspecs


def implementations(manager: pluggy.PluginManager) -> list[tuple[str, list[str]]]:
    """The plugins of each hook, in the order of a run; wrappers are marked. The first one listed is called first; of an
    exclusive hook only that one."""
    found = []
    for name in (name for name in vars(hookspecs) if not name.startswith("_") and hasattr(manager.hook, name)):
        implementing = getattr(manager.hook, name).get_hookimpls()
        listed = [f"{impl.plugin_name}{' (wraps)' if impl.wrapper else ''}" for impl in reversed(implementing)]
        if listed:
            found.append((name, listed))
    return found
