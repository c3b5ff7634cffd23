"""The plugins that are installed, looked for once for all keys of all files that a process reads."""

from __future__ import annotations

import functools
import os

from tunesmith.catalog import Catalog


def catalog() -> Catalog:
    """What is installed, as far as `TUNESMITH_PLUGINS` shows it."""
    return _discovered(os.environ.get("TUNESMITH_PLUGINS", ""))


@functools.cache
def _discovered(shown: str) -> Catalog:
    return Catalog.discover()


def plugin(kind: str, name: str) -> type:
    """The class of a plugin.

    Raises: TunesmithError when it is not installed, or cannot be imported.
    """
    found = catalog()
    return found.load(found.find(kind, name))
