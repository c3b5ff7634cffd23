"""The form of everything that is installed: kinds, their plugins, the options of each. It imports all plugins."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog, Entry
from tunesmith.errors import PluginError
from tunesmith.kinds import CONFIGURED, Kind
from tunesmith.options import options
from tunesmith.planning import RunOptions
from tunesmith_library_configuration.options import known_as

from tunesmith_library_studio.configuring.shapes import option_form


def form(catalog: Catalog) -> dict[str, Any]:
    """Every kind and option.

    Returns: `run`, the options beside the kinds; `kinds`, each with `name`, `summary`, `how_many` (one, optional, any,
        routed), `many`, `default` and `plugins`. A plugin has `name`, `summary`, `distribution`, `version`, `options`,
        `known_as` (what options are called elsewhere), `traits` that are plain, and `broken`, the cause, where it
        cannot be imported.
    """
    entries: dict[str, list[Entry]] = {}
    for entry in catalog.entries():
        entries.setdefault(entry.kind, []).append(entry)
    return {
        "run": options_of(RunOptions),
        "kinds": [_kind(kind, entries.get(kind.name, ()), catalog) for kind in CONFIGURED.values()],
    }


def _kind(kind: Kind, entries: Any, catalog: Catalog) -> dict[str, Any]:
    names = [entry.name for entry in entries]
    return {
        "name": kind.name,
        "summary": kind.summary,
        "how_many": kind.how_many,
        "many": kind.many,
        "default": list(kind.default),
        "commands": list(kind.commands),
        "plugins": [_plugin(entry, names.count(entry.name) > 1, catalog) for entry in entries],
    }


def _plugin(entry: Entry, ambiguous: bool, catalog: Catalog) -> dict[str, Any]:
    """One plugin; of several with one name each is called with its distribution, as the configuration has it."""
    name = f"{entry.distribution}:{entry.name}" if ambiguous else entry.name
    made = {"name": name, "distribution": entry.distribution, "version": entry.version}
    try:
        cls = catalog.load(entry)
        told = {"summary": (inspect.getdoc(cls) or "").partition("\n")[0], "options": options_of(cls)}
    except (PluginError, NameError, TypeError) as error:  # NameError, TypeError: annotations that mean nothing
        return {**made, "summary": "", "options": [], "broken": str(error)}
    except SystemExit:
        cause = f"{entry.kind}={entry.name} ({entry.origin}) ends the program that imports it."
        return {**made, "summary": "", "options": [], "broken": cause}
    elsewhere = {other: ours for other, (ours, _) in known_as(cls).items()}
    return {**made, **told, **({"known_as": elsewhere} if elsewhere else {})}


def options_of(cls: type) -> list[dict[str, Any]]:
    """Every option of a plugin, as a form needs it."""
    guarded = (*getattr(cls, "guarded", ()), *getattr(cls, "guarded_outside", ()))
    return [option_form(option, guarded) for option in options(cls)]


def sources(catalog: Catalog) -> dict[str, int]:
    """The files that plugins were imported from, with when they were changed, in nanoseconds."""
    modules = {entry.target.partition(":")[0] for entry in catalog.entries()}
    files = {getattr(sys.modules.get(module), "__file__", None) for module in modules}
    return {file: Path(file).stat().st_mtime_ns for file in sorted(filter(None, files)) if Path(file).is_file()}
