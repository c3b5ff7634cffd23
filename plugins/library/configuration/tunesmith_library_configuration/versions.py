"""Versions: what an older version said otherwise, a file or an option, is put into the words of this one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin, Origins, nearest_origin
from tunesmith_library_configuration.problems import Problem

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


def renamed(
    names: Mapping[str, str], values: Mapping[str, Any], key: Key, origins: Origins
) -> tuple[Values, dict[Key, Origin], list[str], list[Problem]]:
    """Options under their present names.

    Args:
        names: of options that had another one: the former, and the present.
        values: options as they are written.
        key: where they stand.

    Returns: the options, where those that were renamed are written, notices, and options that are there twice.
    """
    options, moved, notices, problems = dict(values), dict[Key, Origin](), [], []
    for old, new in names.items():
        former, present = key / old, key / new
        if old not in options:
            continue
        value = options.pop(old)
        if new in options:
            problems.append(Problem(former, f"{former} and {present} are the same option.", f"write {present} alone"))
            continue
        options[new] = value
        moved |= {Key(*present, *place[len(former) :]): at for place, at in origins.items() if place.within(former)}
        notices.append(f"{former} is called {present} now; write that ({nearest_origin(former, origins)})")
    return options, moved, notices, problems


def suits(version: str, specifier: str) -> bool:
    """Whether a version is what a specifier asks for: `>=0.2,<1`; "" asks for nothing."""
    least = re.fullmatch(r">=\s*(\d+)\.(\d+)", specifier)
    if least:  # what nearly all ask for, and packaging takes long to import
        return tuple(map(int, re.findall(r"\d+", version)[:2])) >= (int(least[1]), int(least[2]))
    from packaging.specifiers import SpecifierSet

    return not specifier or SpecifierSet(specifier).contains(version, prereleases=True)


def specifier_of(name: str, requires: Iterable[str]) -> str:
    """What the metadata of a distribution asks of another one: the specifier of its requirement on it; "" for any."""
    asked = rf"{re.escape(name)}\s*(?:\[[^]]*\])?\s*\(?\s*([<>=!~][^;)]*|)\)?\s*(;.*)?"
    for requirement in requires:
        found = re.fullmatch(asked, requirement)
        if found and "extra" not in (found[2] or ""):
            return found[1].strip()
    return ""
