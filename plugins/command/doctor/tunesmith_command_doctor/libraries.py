"""Libraries against what is asked of them, by plugins and by each other, and against what was tested."""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tunesmith_command_doctor.found import Facts, Finding
from tunesmith_command_doctor.installed import Distribution, Installed

_MANY = 4  # askers that are named


def findings(there: Installed) -> Iterator[Finding]:
    """Requirements that do not hold, of Tunesmith's distributions and of all that these stand on."""
    broken: dict[str, list[tuple[Distribution, Requirement]]] = {}
    for one, needed in _asked(there):
        found = there.get(canonicalize_name(needed.name))
        if found is None or not needed.specifier.contains(found.version, prereleases=True):
            broken.setdefault(canonicalize_name(needed.name), []).append((one, needed))
    for name, asked in broken.items():
        specifiers = sorted({str(needed.specifier) for _, needed in asked} - {""})
        askers = sorted({one.name for one, _ in asked})
        who = ", ".join(askers[:_MANY]) + (f" and {len(askers) - _MANY} more" if len(askers) > _MANY else "")
        is_there = f"{there[name].version} is installed" if name in there else "it is not installed"
        wanted = f"{name}{','.join(specifiers)}"
        yield Finding(
            name, f"{who} need{'s' if len(askers) == 1 else ''} {wanted}; {is_there}", f'pip install "{wanted}"'
        )
    yield from _untested(there)


def facts(there: Installed) -> Facts:
    """The versions of what plugins ask for, beside those that were tested; of extras only what is there."""
    needed = {canonicalize_name(requirement.name) for _, requirement in _direct(there, optional=False)}
    wanted = needed | {canonicalize_name(one.name) for _, one in _direct(there, optional=True)} & there.keys()
    told: Facts = {}
    for name in sorted(wanted):
        version = there[name].version if name in there else "not installed"
        told[name] = f"{version:18}{_range(name)}".rstrip()
    return told


@functools.cache
def tested() -> dict[str, dict[str, str]]:
    """By library: the `lowest` and the `newest` version that the quick tests were run with, and CI's, `pinned`."""
    text = importlib.resources.files("tunesmith_command_doctor").joinpath("tested.json").read_text(encoding="utf-8")
    told: dict[str, dict[str, str]] = json.loads(text)
    return told


def _range(name: str) -> str:
    known = tested().get(name)
    return f"tested: {known['lowest']} to {known['newest']}" if known else ""


def _untested(there: Installed) -> Iterator[Finding]:
    """Libraries newer than what was tested: they mostly work, and are the first thing to look at when they do not."""
    newer = []
    for name, known in tested().items():
        if name in there and _version(there[name].version).release[:2] > _version(known["newest"]).release[:2]:
            newer.append(f"{name} {there[name].version} (tested: up to {known['newest']})")
    if newer:
        yield Finding("libraries", f"newer than what was tested: {', '.join(newer)}", _back(there), wrong=False)


def _back(there: Installed) -> str:
    """How to come to what was tested."""
    named = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
    pins = [f"{name}=={tested()[name]['pinned']}" for name in named if name in there and name in tested()]
    return f"if something fails: pip install {' '.join(pins)}"


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _direct(there: Installed, optional: bool) -> Iterator[tuple[Distribution, Requirement]]:
    """What Tunesmith's distributions ask of others; those of tests left out."""
    for one in there.values():
        if not one.ours:
            continue
        for needed in _requirements(one):
            extra = "extra" in str(needed.marker or "")
            ours = canonicalize_name(needed.name).startswith("tunesmith")
            if extra == optional and not ours and "testing" not in str(needed.marker or ""):
                yield one, needed


def _asked(there: Installed) -> Iterator[tuple[Distribution, Requirement]]:
    """All requirements that must hold: those of our distributions, and of what is reached from these."""
    waiting = [one for one in there.values() if one.ours]
    seen = {one.name for one in waiting}
    while waiting:
        one = waiting.pop()
        for needed in _requirements(one):
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            yield one, needed
            name = canonicalize_name(needed.name)
            if name in there and name not in seen:
                seen.add(name)
                waiting.append(there[name])


def _requirements(one: Distribution) -> Iterator[Requirement]:
    for line in one.requires:
        try:
            yield Requirement(line)
        except InvalidRequirement:  # of an old package, which nobody can read
            continue
