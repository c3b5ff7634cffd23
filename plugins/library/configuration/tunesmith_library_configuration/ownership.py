"""Whose record of a run it is: what a stranger's `run.yaml` says does not count for everything.

The records that this user's runs wrote are remembered in `~/.local/state/tunesmith/records` (`XDG_STATE_HOME`), each by
a digest of where it is and what it says, so that a run of one's own is repeated, continued and asked as it was made.
One that is not among them (somebody else's, moved, or changed) may choose plugins and numbers, but not have code run,
files written elsewhere, data or secrets sent somewhere: for that the user says the word again, on the command line.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.keys import Key, Origin, Origins, nearest_origin
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.secrets import names_secret

_PLAIN_KEY = re.compile(r"\$\{[\w.\[\]]+\}")
_PLAIN_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*(?P<name>[A-Za-z_]\w*)\s*(,[^${}]*)?\}")


def is_strange(file: Path) -> bool:
    """Whether a file is the record of a run, and not one that this user's runs wrote."""
    if file.name.lower() != "run.yaml":
        return False
    try:
        return _digest(file) not in _ledger().read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return True


def remember(file: Path) -> None:
    """Remember a record that a run of this user's wrote. Where there is no place for that, it stays strange."""
    try:
        ledger = _ledger()
        ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_strange(file):
            with ledger.open("a", encoding="ascii") as lines:
                lines.write(f"{_digest(file)}\n")
    except OSError:
        return


def _ledger() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "tunesmith" / "records"


def _digest(file: Path) -> str:
    return hashlib.sha256(os.fsencode(file.resolve()) + b"\0" + file.read_bytes()).hexdigest()


def unsaid_problems(
    cls: type, values: Mapping[str, Any], defaults: Mapping[str, Any], key: Key, origins: Origins
) -> Iterator[Problem]:
    """The options that count on the user's word only, and that a strange record sets.

    Args:
        cls: a dataclass; `guarded` names these options of it, `guarded_outside` those that may name a place below the
            current folder, and none elsewhere.
        values: what was given, under `key`.
        defaults: of the options that have one; setting them says nothing.
    """
    outside = getattr(cls, "guarded_outside", ())
    for name in (*getattr(cls, "guarded", ()), *outside):
        if name in outside and _is_below(str(values.get(name) or "")):
            continue
        place = key / name
        origin = _strange_origin(place, origins)
        if name in values and origin and values[name] != defaults.get(name, _NOTHING):
            word = f"{place}={_said(values[name])}"
            other = f", or {place}={_said(defaults[name])}" if defaults.get(name) is not None else ""
            yield Problem(
                place,
                f"{word}: a run's record says so, which does not count for that reason alone.",
                f"this record was not written by a run of yours at this place; if you know it, say so: {word}{other}",
            )


_NOTHING = object()


def _is_below(path: str) -> bool:
    """Whether a path leads below the current folder, also by way of links."""
    return not path.startswith("~") and "${" not in path and Path(path).resolve().is_relative_to(Path.cwd())


def _said(value: Any) -> str:
    """A value as the command line takes it."""
    return str(value) if isinstance(value, str) else json.dumps(value, default=str)


def _strange_origin(place: Key, origins: Origins) -> Origin | None:
    """Where a strange record sets a value, or anything in it."""
    inside = [origin for key, origin in origins.items() if key.within(place)]
    nearest = nearest_origin(place, origins)
    return next((origin for origin in (*inside, *filter(None, [nearest])) if origin.strange), None)


def reference_problems(tree: Any, origins: Origins, key: Key | None = None) -> Iterator[Problem]:
    """The texts of a strange record that read secrets of the environment, or more than a plain variable or key."""
    here = Key() if key is None else key
    items: Any = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in items:
        yield from reference_problems(value, origins, here / name)
    if isinstance(tree, str) and "${" in tree and (origin := nearest_origin(here, origins)) and origin.strange:
        secret = [match["name"] for match in _PLAIN_VARIABLE.finditer(tree) if names_secret(match["name"])]
        rest = _PLAIN_KEY.sub("", _PLAIN_VARIABLE.sub("", tree))
        if secret or "${" in rest:
            message = f"{here}={tree}: a run's record does not read {', '.join(secret) or 'the environment so'} alone."
            yield Problem(here, message, f"if you know that record, say so: '{here}={tree}'")
