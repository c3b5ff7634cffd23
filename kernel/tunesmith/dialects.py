"""Dialects: a configuration of another program, known by its content, is translated into ours before it is composed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import pluggy
from tunesmith import hookspecs
from tunesmith.catalog import Catalog
from tunesmith.errors import noted
from tunesmith.keys import Origin, Origins
from tunesmith.kinds import CONFIGURED
from tunesmith.planning import RunOptions
from tunesmith_library_configuration.foreign import Reading, reading

OURS = frozenset({*CONFIGURED, *(option.name for option in dataclasses.fields(RunOptions)), "defaults"})
"""The keys of a configuration of ours."""


def read_foreign(
    tree: Mapping[str, Any], origins: Origins, source: Origin, catalog: Catalog | None = None
) -> Reading | None:
    """Ask the installed dialects for a mapping with keys that are not ours.

    Those that cannot be imported are left out. Beside keys of ours, a dialect is asked only for keys that it claims.

    Returns: what the first one made of it; None for a mapping of ours, and for one that nobody knows.
    """
    foreign = tree.keys() - OURS
    if not foreign:
        return None
    catalog = catalog or Catalog.discover()
    for name, cls in catalog.classes("dialect").items():
        if tree.keys() & OURS and not foreign & getattr(cls, "claims", frozenset()):
            continue
        manager = pluggy.PluginManager("tunesmith")
        manager.add_hookspecs(hookspecs)
        manager.register(cls())
        with noted(f"translate_config of dialect.{name}"):
            made = manager.hook.translate_config(config=copy.deepcopy(dict(tree)), origin=source)
        if made is not None:
            read_by = f"{source}: read as {name}'s, by {catalog.find('dialect', name, asked=False).origin}"
            return reading(made, origins, name, read_by)
    return None
