"""What is installed, told from the plugins themselves. It imports them, so it runs in a process of its own."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from tunesmith.catalog import Catalog, Entry
from tunesmith.cli.group import hidden_by_built_in
from tunesmith.cli.soundness import faults
from tunesmith.errors import PluginError, TunesmithError
from tunesmith.kinds import KINDS
from tunesmith.options import options
from tunesmith.traits import TRAITS, traits_of

from tunesmith_library_studio.configuring.shapes import option_form


def plugins(catalog: Catalog) -> dict[str, Any]:
    """All that is installed.

    Returns: `items`, each with `kind`, `name`, `distribution`, `version`, `state` (ok, broken, hidden), `why` it is not
        ok, `summary`; `kinds` with `name`, `summary`, `how_many`; `warnings` of entry points that are no plugin's.
    """
    warnings = [*map(str, catalog.strays), *([catalog.restriction] if catalog.restriction else [])]
    kinds = [{"name": kind.name, "summary": kind.summary, "how_many": kind.how_many} for kind in KINDS.values()]
    return {"items": [_row(catalog, entry) for entry in catalog.entries()], "kinds": kinds, "warnings": warnings}


def plugin(catalog: Catalog, kind: str, name: str, distribution: str) -> dict[str, Any]:
    """One plugin: a row of `plugins`, and `doc`, `traits`, `options`.

    Raises: PluginError when there is none.
    """
    offered = [entry for entry in catalog.entries() if (entry.kind, entry.name) == (kind, name)]
    entry = next((entry for entry in offered if distribution in ("", entry.distribution)), None)
    if entry is None:
        raise PluginError(f"no plugin is called {kind}={name}.")
    row = _row(catalog, entry)
    if row["state"] == "broken":
        return {**row, "doc": "", "traits": [], "options": []}
    cls = catalog.load(entry)
    guarded = (*getattr(cls, "guarded", ()), *getattr(cls, "guarded_outside", ()))
    found = [option_form(option, guarded) for option in options(cls)]
    return {**row, "doc": inspect.getdoc(cls) or "", "traits": _traits(kind, cls), "options": found}


def _row(catalog: Catalog, entry: Entry) -> dict[str, Any]:
    row = {"kind": entry.kind, "name": entry.name, "distribution": entry.distribution, "version": entry.version}
    try:
        cls = catalog.load(entry)
        wrong = "; ".join(faults(entry.kind, cls))
    except TunesmithError as error:
        return {**row, "summary": "", "state": "broken", "why": str(error)}
    except (NameError, TypeError) as error:  # annotations that mean nothing
        return {**row, "summary": "", "state": "broken", "why": f"{type(error).__name__}: {error}"}
    row["summary"] = (inspect.getdoc(cls) or "").partition("\n")[0]
    if wrong:
        return {**row, "state": "broken", "why": wrong}
    if hidden_by_built_in(entry):
        return {**row, "state": "hidden", "why": f"{entry.name} is a command of the kernel"}
    return {**row, "state": "ok", "why": ""}


def _traits(kind: str, cls: type) -> list[dict[str, Any]]:
    """What a plugin says of itself where it says something: `name`, `value`; with the default options."""
    if kind not in TRAITS:
        return []
    said = traits_of(kind, cls)
    found = ((item.name, getattr(said, item.name)) for item in dataclasses.fields(said))
    return [{"name": name, "value": _plain(value)} for name, value in found if value not in (None, (), "", {}, False)]


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list | dict) else value
