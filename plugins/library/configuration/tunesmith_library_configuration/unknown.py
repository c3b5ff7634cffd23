"""Keys of the top level that are none: whose option is meant, and the very line to write."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tunesmith_library_configuration.errors import choices, nearest
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.layers import Named
from tunesmith_library_configuration.options import options
from tunesmith_library_configuration.overrides import written_overrides
from tunesmith_library_configuration.problems import Problem

_MANY = 3  # homes of an option that are told
_NEAR = 0.8  # how alike a name of an option must be, of which there are hundreds


def unknown_key(
    name: str,
    tree: Mapping[str, Any],
    origin: Origin | None,
    known: Iterable[str],
    named: Mapping[str, Named],
    classes: Callable[[str], Mapping[str, type]],
) -> Problem:
    """What is wrong with a key of the top level, and what to write instead.

    Args:
        tree: the whole configuration.
        origin: where the key was written.
        known: the keys that hold plain values.
        named: the keys that hold options of things.
        classes: the things that there are for such a key, by name.
    """
    head, dot, rest = name.partition(".")
    if dot and head in named:
        advice = f"write {head}: {{{rest}: …}}; dots are for overrides"
        return Problem(Key(name), f"{name} is not a key of a file.", advice)
    message, possible = f"{name} is not a key of a configuration.", [*known, *named]
    if name == "defaults":
        advice = "defaults stands in a file, and names the files that it inherits"
        return Problem(Key(name), f"{name} is not a key of a command line.", advice)
    homes = list(_homes(tree, named, classes))
    names = {option for option, _, _ in homes}
    meant = name if name in names else None if nearest(name, possible) else nearest(name, names, _NEAR)
    if meant is None:
        return Problem(Key(name), message, choices(name, possible))
    found = {where: needs for option, where, needs in sorted(homes, reverse=True) if option == meant}
    lines = [_line(where, tree[name], origin) for where, needs in found.items() if not needs]
    others = [f"{_line(where, tree[name], origin)} with {needs}" for where, needs in found.items()]
    return Problem(Key(name), message, f"write {' or '.join((lines or others)[:_MANY])}")


def _homes(
    tree: Mapping[str, Any], named: Mapping[str, Named], classes: Callable[[str], Mapping[str, type]]
) -> Iterator[tuple[str, str, str]]:
    """Every option, under its name and those that it has elsewhere (`known_as`), its key, and what must be selected
    for it; "" where it is."""
    for key, held in named.items():
        written = tree.get(key)
        selected = {*(written or {})} if held.many else {(written or {}).get("name")} - {None}
        selected = selected if selected or (held.many and written is not None) else {*held.default}
        for thing, cls in classes(key).items():
            with contextlib.suppress(NameError, TypeError):  # annotations that mean nothing
                where = f"{key}.{thing}" if held.many else key
                needs = "" if thing in selected else f"{key}={thing}"
                yield from ((option.name, f"{where}.{option.name}", needs) for option in options(cls))
                others: Mapping[str, str] = getattr(cls, "known_as", {})
                yield from ((elsewhere, f"{where}.{ours}", needs) for elsewhere, ours in others.items())


def _line(where: str, value: Any, origin: Origin | None) -> str:
    """A key with its value as its writer would write it: in an override, or in a file."""
    if origin is not None and origin.line is not None:
        *outer, last = where.split(".")
        text = f"{last}: {origin.text or written_overrides({last: value})[0].partition('=')[2]}"
        for part in reversed(outer):
            text = f"{part}: {{{text}}}"
        return text
    typed = origin.text if origin is not None else None
    text = f"{where}={typed}" if typed is not None else written_overrides({where: value})[0]
    return text if re.fullmatch(r"[\w.=/:,+@%-]+", text) else "'" + text.replace("'", "'\\''") + "'"
