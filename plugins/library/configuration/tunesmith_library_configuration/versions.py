"""Versions: what a file of an older version said otherwise is put into the words of this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith_library_configuration.errors import ConfigError

Values = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One change between versions."""

    below: str  # files of versions before this one are changed
    name: str  # what changes, as it is announced
    change: Callable[[Values], Values | None]  # gives the changed file, None for one that it does not concern


def upgraded(tree: Values, source: str, steps: Sequence[Step], program: str, present: str) -> tuple[Values, list[str]]:
    """Take the version off a file, and what was said otherwise in that version.

    Args:
        source: where it was written.
        program: what wrote it, and the key under which its version stands; a file without it is older than all.
        present: the version of this program.

    Returns: the file in the words of this version, and what was changed.
    Raises: ConfigError when the version is none.
    """
    from packaging.version import InvalidVersion, Version

    written = tree.get(program)
    try:
        version = Version(str(written or "0"))
    except InvalidVersion as error:
        raise ConfigError(f"{source}: {program}: {written} is not a version.") from error
    tree, told = {name: value for name, value in tree.items() if name != program}, []
    for step in steps:
        changed = step.change(tree) if version < Version(step.below) else None
        if changed is not None:
            tree = changed
            told.append(f"{source}, of version {written or 'unknown'}, is upgraded: {step.name}")
    if version > Version(present):
        told.append(f"{source} was written by {program} {written}; this one is {present}")
    return tree, told
