"""Keys of the top level that are none, and names that name nothing: what is meant, and the very line to write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith_library_configuration.errors import choices, nearest
from tunesmith_library_configuration.keys import Key, Origin, Origins
from tunesmith_library_configuration.layers import Named
from tunesmith_library_configuration.options import Option, known_as, options, shorthand
from tunesmith_library_configuration.overrides import line_of
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.typed import literals_of, members_of

_MANY = 3  # homes of an option that are told
_NEAR = 0.8  # how alike a name of an option must be, of which there are hundreds

Classes = Callable[[str], Mapping[str, type]]
"""The things that there are for a key, by name."""


@dataclass(frozen=True)
class _Home:
    """An option under one of its names."""

    name: str  # what it is called, here or elsewhere
    where: str  # its key
    needs: str  # what must be selected for it: `quantizer=hqq`; "" where it is
    option: Option
    value: str | None = None  # what it is to be set to where its name elsewhere says so: `load_in_4bit`

    def line(self, value: Any, origin: Origin | None) -> str:
        """The line to write; one that has only certain values is not given another."""
        if self.value is not None:
            return line_of(self.where, self.value, Origin("", origin.line if origin else None, self.value))
        members, possible = members_of(self.option.type), literals_of(self.option.type)
        if isinstance(value, str) and "," in value and str not in members and value[:1] not in "[{":
            return f"{self.where}=[{value}]"
        if not possible or value in possible or value is None:
            return line_of(self.where, value, origin)
        return f"{self.where}=VALUE ({choices(str(value), map(str, possible))})"


def unknown_key(
    name: str,
    tree: Mapping[str, Any],
    origin: Origin | None,
    plain: type,
    named: Mapping[str, Named],
    classes: Classes,
) -> Problem:
    """What is wrong with a key of the top level, and what to write instead.

    Args:
        tree: the whole configuration.
        origin: where the key was written.
        plain: the dataclass of the keys that hold plain values.
        named: the keys that hold options of things.
        classes: the things that there are for such a key.
    """
    head, dot, rest = name.partition(".")
    if dot and head in named:
        advice = f"write {head}: {{{rest}: …}}; dots are for overrides"
        return Problem(Key(name), f"{name} is not a key of a file.", advice)
    message, possible = f"{name} is not a key of a configuration.", [o.name for o in options(plain)] + ["defaults"]
    if name == "defaults":
        advice = "defaults stands in a file, and names the files that it inherits"
        return Problem(Key(name), f"{name} is not a key of a command line.", advice)
    homes = [*_of_class(plain, "", ""), *_homes(tree, named, classes)]
    names, keys = {home.name for home in homes}, [*possible, *named]
    misspelt = name not in names and nearest(name, keys, _NEAR)
    lines = [] if misspelt else _meant(name, tree[name], origin, homes, named, classes)
    if not lines and nearest(name, keys) is None and (meant := nearest(name, names, _NEAR)):
        lines = _lines(meant, homes, tree[name], origin)
    if lines:
        advice = f"write {' or '.join(lines[:_MANY])}"
    else:  # of names that are not alike the nearest tell nothing
        advice = choices(name, keys) if nearest(name, keys) else "tunesmith config schema has all keys"
    return Problem(Key(name), message, advice)


def _meant(
    name: str,
    value: Any,
    origin: Origin | None,
    homes: list[_Home],
    named: Mapping[str, Named],
    classes: Classes,
) -> list[str]:
    """The lines for what a key must mean: an option, a thing, or options in a mapping (`training_args.lr=0.1`)."""
    found = _choosing(name, value, origin, named, classes)
    if isinstance(value, Mapping) and not found:
        inner = origin and Origin(origin.source, origin.line)  # what was typed is the whole mapping
        each = [_lines(str(one), homes, item, inner) for one, item in value.items()]
        found = [" ".join(lines[0] for lines in each if lines)] if any(each) else []
        return found or _lines(name, homes, value, origin)
    return _lines(name, homes, value, origin) or found


def _homes(tree: Mapping[str, Any], named: Mapping[str, Named], classes: Classes) -> Iterator[_Home]:
    """The options of all things."""
    for key, held in named.items():
        written = tree.get(key)
        chosen = (
            [*(written or {})] if held.many else [name for name in [(written or {}).get("name")] if name is not None]
        )
        selected = chosen if chosen or (held.many and written is not None) else held.default
        for thing, cls in classes(key).items():
            where = f"{key}.{thing}." if held.many else f"{key}."
            yield from _of_class(cls, where, "" if thing in selected else f"{key}={thing}")


def _of_class(cls: type, where: str, needs: str) -> Iterator[_Home]:
    with contextlib.suppress(NameError, TypeError):  # annotations that mean nothing
        known = {option.name: option for option in options(cls)}
        yield from (_Home(name, f"{where}{name}", needs, option) for name, option in known.items())
        for elsewhere, (ours, value) in known_as(cls).items():
            if ours in known:
                yield _Home(elsewhere, f"{where}{ours}", needs, known[ours], value)


def _lines(name: str, homes: list[_Home], value: Any, origin: Origin | None) -> list[str]:
    """The lines for an option of a name: those that count as things are selected, else with what must be."""
    found: dict[str, list[_Home]] = {}
    for home in sorted(homes, key=lambda home: ("." in home.where, home.where), reverse=True):
        if home.name == name:
            found.setdefault(home.where, []).append(home)
    plain = [same[0] for same in found.values() if "." not in same[0].where]
    ready = plain or [home for same in found.values() for home in same if not home.needs]
    if ready:
        return list(dict.fromkeys(home.line(value, origin) for home in ready))
    lines = []
    for same in found.values():
        first, *others = sorted(home.needs for home in same)
        further = f" (or {', '.join(other.partition('=')[2] for other in others)})" if others else ""
        chosen = f" with {first}{further}" if same[0].where.count(".") == 1 else ""  # else it chooses it too
        lines.append(f"{same[0].line(value, origin)}{chosen}")
    return lines


def _choosing(name: str, value: Any, origin: Origin | None, named: Mapping[str, Named], classes: Classes) -> list[str]:
    """The lines that choose the thing that a value names (`finetuning_type=lora`), or the key itself (`lora.r=8`)."""
    asked = value.lower() if isinstance(value, str) else None
    found = []
    for key, held in named.items():
        things = classes(key)
        by_value = next((thing for thing in things if asked in _names(thing, things[thing])), None)
        if by_value and not (by_value in held.default and _is_a_value(by_value, named, classes)):
            found.append(_choice(key, by_value, held, origin))
        elif name in things:
            where = f"{key}.{name}" if held.many else key
            known = {home.name: home for home in _of_class(things[name], f"{where}.", "")}
            inside = value if isinstance(value, Mapping) else {}
            inner = origin and Origin(origin.source, origin.line)
            options_too = [known[one].line(item, inner) for one, item in inside.items() if one in known]
            found.append(" ".join([_choice(key, name, held, origin), *options_too]))
    return found


def _names(thing: str, cls: type) -> tuple[str, ...]:
    """What people call a thing, in small letters."""
    return thing.lower(), *getattr(cls, "also_called", ())


def _choice(key: str, thing: str, held: Named, origin: Origin | None) -> str:
    if origin is not None and origin.line is not None:
        return f"{key}: [{thing}]" if held.many else f"{key}: {thing}"
    return f"{key}+=[{thing}]" if held.many else f"{key}={thing}"


def _is_a_value(name: str, named: Mapping[str, Named], classes: Classes) -> bool:
    """Whether an option has a value that is called as a thing is: `auto`."""
    every = (cls for key in named for cls in classes(key).values())
    return any(name in literals_of(home.option.type) for cls in every for home in _of_class(cls, "", ""))


class Written(Protocol):
    """A configuration, and where its values are written."""

    @property
    def tree(self) -> Mapping[str, Any]: ...

    @property
    def origins(self) -> Origins: ...


def with_line(problem: Problem, written: Written, named: Mapping[str, Named], classes: Classes) -> Problem:
    """The same problem of a name that names no thing, with the line to write where it is the value of an option:
    `model=org/name`, as that thing's class says with `SHORTHAND`.

    Args:
        problem: its key is where the name is written.
    """
    key = Key.of(problem.key)
    kind, origin = str(key[0]), written.origins.get(key)
    if len(key) != 2 or not (key[1] == "name" or named[kind].many):
        return problem
    held, things = named[kind], classes(kind)
    value = key[1] if held.many else (written.tree.get(kind) or {}).get("name")
    if value is None:  # a default
        return problem
    if isinstance(value, str) and (same := [one for one in things if value.lower() in _names(one, things[one])]):
        return _advised(problem, [_choice(kind, one, held, origin) for one in same])
    if isinstance(value, str) and (near := nearest(value, things)) and (beside := _beside(value, kind, named, classes)):
        return _advised(problem, [" ".join([_choice(kind, near, held, origin), *beside])])
    if not isinstance(value, list) and nearest(str(value), things):
        return problem
    meant = [one for one in things if _stands_for(things[one], value, one in held.default)]
    meant = [one for one in meant if one in held.default] or meant
    if held.many and origin is not None:
        origin = Origin(origin.source, origin.line, str(value))
    places = {f"{kind}.{one}" if held.many else kind: shorthand(things[one]) for one in meant}
    return _advised(problem, [line_of(f"{place}.{option}", value, origin) for place, option in places.items()])


def _beside(value: str, kind: str, named: Mapping[str, Named], classes: Classes) -> list[str]:
    """What else a name means that is called like a thing of another kind: the 4 bits of `adapter=qlora`."""
    others = {key: held for key, held in named.items() if key != kind and not held.many}
    found = {
        key: next((one for one, cls in classes(key).items() if value.lower() in _names(one, cls)), None)
        for key in others
    }
    return [f"with {key}={one}" for key, one in found.items() if one is not None]


def _stands_for(cls: type, value: Any, default: bool) -> bool:
    """Whether a value may be meant for the option that a class has a shorthand for: an address for that of any thing, a
    plain name only for one of a default that cannot do without it."""
    if shorthand(cls) is None:
        return False
    option = next(option for option in options(cls) if option.name == shorthand(cls))
    return (
        isinstance(value, list)
        or any(mark in str(value) for mark in "/\\.")
        or (default and option.default is not None)
    )


def _advised(problem: Problem, lines: list[str]) -> Problem:
    if not lines:
        return problem
    advice = "\n".join([f"write {' or '.join(lines[:_MANY])}", *problem.advice.splitlines()[:1]])
    return Problem(problem.key, problem.message, advice, problem.severity)
