"""Plugins in files of the user: `optimizer: {name: ./my.py:Mine}`; their options, and which wait to be confirmed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.compose import Composition
from tunesmith.errors import PluginError
from tunesmith.keys import nearest_origin
from tunesmith.kinds import CONFIGURED
from tunesmith.planning import Plan
from tunesmith_library_configuration.keys import Key

from tunesmith_library_studio.configuring.form import options_of
from tunesmith_library_studio.workspace import Workspace

_FILE = re.compile(r"\.py(:|$)")


def own_plugins(plan: Plan, made: Composition, workspace: Workspace, catalog: Catalog) -> list[dict[str, Any]]:
    """Plugins of a draft that are in files which it names, and which were imported as it was examined.

    Returns: of each as of an installed one, `name` (as the draft has it), `summary`, `options`; and `kind`, `file`.
    """
    written = {}
    for kind, as_written, _ in _named(made):
        with suppress(PluginError):
            folder = made.file.parent if made.file else None
            written[kind, catalog.find(kind, as_written, folder=folder).target] = as_written
    found = []
    for item in plan.selected:
        made_of = type(item.instance if item.instance is not None else item.draft)
        name = written.get((item.entry.kind, item.entry.target))
        if item.entry.private and name and made_of is not type(None):
            summary = (inspect.getdoc(made_of) or "").partition("\n")[0]
            file = workspace.shown(Path(item.entry.distribution))
            told = {"kind": item.entry.kind, "name": name, "file": file, "summary": summary}
            found.append({**told, "options": options_of(made_of)})
    return found


def unconfirmed(made: Composition, workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Plugins in files that only the record of a run names: whoever made its folder chose them, not its user.

    Yields: `kind`, `name`, `file`, and `value`, the options that the record has.
    """
    if made.run_folder is None:
        return
    for kind, name, value in _named(made):
        origin = nearest_origin(Key(kind, name if CONFIGURED[kind].many else "name"), made.origins)
        if origin and origin.source == str(made.file):
            file = workspace.shown(Path(name.rpartition(":")[0] or name))
            yield {"kind": kind, "name": name, "file": file, "value": value}


def _named(made: Composition) -> Iterator[tuple[str, str, Any]]:
    """The kind, the name and the options of each plugin in a file that a configuration names."""
    for kind, value in made.tree.items():
        if kind in CONFIGURED and isinstance(value, Mapping):
            for name, options in value.items() if CONFIGURED[kind].many else [(value.get("name"), value)]:
                if isinstance(name, str) and _FILE.search(name):
                    yield kind, name, options


def without(values: Mapping[str, Any], waiting: list[dict[str, Any]]) -> dict[str, Any]:
    """Values of a form without the plugins that wait to be confirmed."""
    left = dict(values)
    for item in waiting:
        kind = item["kind"]
        rest = {name: it for name, it in (left.get(kind) or {}).items() if name != item["name"]}
        if CONFIGURED[kind].many and rest:
            left[kind] = rest
        else:
            left.pop(kind, None)
    return left
