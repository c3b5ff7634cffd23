"""Upgrades: the `run.yaml` of an older version says what it meant, in the words of this one.

A file says which version wrote it under the key `tunesmith`; one without the key is older than all that have it. A
renamed option of a plugin needs no step here: its class says so (`renamed`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import __version__
from tunesmith.errors import ConfigError

VERSION = "tunesmith"
"""The key of a file under which the version that wrote it stands."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One change between versions."""

    below: str  # files of versions before this one are changed
    name: str  # what changes, as it is announced
    change: Callable[[Tree], Tree | None]  # gives the changed file, None for one that it does not concern


def _without_special_tokens(tree: Tree) -> Tree | None:
    engine = tree.get("engine")
    if not isinstance(engine, dict) or engine.get("name", "transformers") != "transformers":
        return None
    if "skip_special_tokens" not in engine:
        return None
    return {**tree, "engine": {name: value for name, value in engine.items() if name != "skip_special_tokens"}}


STEPS = (
    Step("0.1.0", "engine.skip_special_tokens is no option any more: answers never show them", _without_special_tokens),
)


def upgraded(tree: Tree, source: str, steps: tuple[Step, ...] = STEPS) -> tuple[Tree, list[str]]:
    """Take the version off a file, and what was said otherwise in that version.

    Args:
        source: where it was written; only what a run wrote, or says its version, is changed.

    Returns: the file in the words of this version, and what was changed.
    Raises: ConfigError when the version is none.
    """
    from packaging.version import InvalidVersion, Version

    written = tree.get(VERSION)
    if written is None and Path(source).name != "run.yaml":
        return tree, []
    try:
        version = Version(str(written or "0"))
    except InvalidVersion as error:
        raise ConfigError(f"{source}: {VERSION}: {written} is not a version.") from error
    tree, told = {name: value for name, value in tree.items() if name != VERSION}, []
    for step in steps:
        changed = step.change(tree) if version < Version(step.below) else None
        if changed is not None:
            tree = changed
            told.append(f"{source}, of version {written or 'unknown'}, is upgraded: {step.name}")
    if version > Version(__version__):
        told.append(f"{source} was written by tunesmith {written}; this one is {__version__}")
    return tree, told
