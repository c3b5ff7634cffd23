"""Private plugins: a class, or a function, in one file that the user names: `loss=my_loss.py:Mine`."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import PluginError, choices
from tunesmith.kinds import KINDS
from tunesmith.markers import hookimpl
from tunesmith.options import plugin
from tunesmith_library_configuration.files import imported
from tunesmith_library_configuration.sources import defined_in


def find_in_file(
    kind: str, name: str, file: Path, attribute: str, folder: Path | None
) -> tuple[Path, str, Callable[[], Any]]:
    """Find the file of a private plugin.

    Args:
        name: as it was written, `my_loss.py:Mine`.
        folder: that relative files are looked for in first, before the current one.

    Returns: the file, the SHA-256 of what it holds, and what imports the plugin.
    Raises: PluginError when there is no such file, or nothing of it is named.
    """
    places = [place / file for place in (folder, Path()) if place is not None]
    found = next((place.resolve() for place in places if place.is_file()), None)
    if found is None:
        raise PluginError(f"{kind}={name}: there is no file {places[0]}.\nwrite FILE.py:CLASS")
    if not attribute:
        possible = [f"{name}:{thing}" for thing in defined_in(found)]
        raise PluginError(f"{kind}={name} names a file, and not what of it is meant.\n{choices('', possible)}")
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    return found, digest, functools.partial(_load, kind, found, attribute, digest)


def _load(kind: str, file: Path, attribute: str, digest: str) -> Any:
    """Import a file under a name of its own; a function becomes a plugin with its kind's one hook."""
    module_name = f"tunesmith_private_{file.stem}_{digest[:12]}"
    members = vars(imported(file, module_name))
    if attribute not in members:
        own = [name for name, value in members.items() if getattr(value, "__module__", None) == module_name]
        raise PluginError(f"{kind}={file}:{attribute}: the file has no {attribute}.\n{choices(attribute, own)}")
    thing, hook = members[attribute], KINDS[kind].function
    if not hook or isinstance(thing, type) or not callable(thing):
        return thing
    described = {"__doc__": thing.__doc__, "__module__": module_name, hook: staticmethod(hookimpl(thing))}
    return plugin(type(attribute, (), described))
