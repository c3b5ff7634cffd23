"""Layers: YAML files, the files that they inherit, and overrides become one tree whose values know their origins.

Later wins: the files that `defaults` names, then the file's own body, then the overrides. A key of the top level may
hold *named things*, each with options of its own; all others hold plain values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from tunesmith_library_configuration.errors import ConfigError, choices
from tunesmith_library_configuration.keys import Key, Origin, Origins, everywhere
from tunesmith_library_configuration.overrides import Override
from tunesmith_library_configuration.ownership import is_strange, reference_problems
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.sharing import Things as Things
from tunesmith_library_configuration.sharing import apart, for_each
from tunesmith_library_configuration.trees import Tree

MESSAGES = ("{choice} drops {options}, which belonged to {plugin}",)


class Named(Protocol):
    """What a key holds: one named thing (`adapter: {name: lora, rank: 8}`), or many (`tracker: {plot: {size: 3}}`)."""

    @property
    def many(self) -> bool: ...

    @property
    def default(self) -> tuple[str, ...]:
        """The names that are meant where none is written."""


@dataclass(frozen=True)
class Layer:
    """One file or mapping, in its writer's own form."""

    tree: dict[str, Any]
    origins: Origins
    source: Origin


def _nothing(key: str) -> None:
    return None


def _as_written(layer: Layer) -> tuple[Layer, Iterable[str]]:
    return layer, ()


@dataclass
class Layers(Tree):
    """A tree while it is made: each layer is put over those before.

    In it the value of a key that holds one named thing is `{"name": ..., options...}`; of many, names map to options.
    """

    named: Mapping[str, Named] = field(default_factory=dict)  # the keys that hold named things
    folders: Callable[[], Sequence[Path]] = tuple  # where inherited files are looked for, after that of who inherits
    change: Callable[[Layer], tuple[Layer, Iterable[str]]] = _as_written  # each layer, and what to say of the change
    # the names of the things that there are, for keys of many where what names none is an option of all that are held
    things: Callable[[str], Things | None] = _nothing
    notices: list[str] = field(default_factory=list)
    _inherited: set[Path] = field(default_factory=set)  # files that are in already; of two mentions the first counts

    def add(self, tree: Mapping[str, Any], source: Origin) -> None:
        """Put a mapping over what is there; it inherits files by their place in the current folder.

        Raises: ConfigError for a file that is not there or cannot be read, and for what no named thing can be.
        """
        own = copy.deepcopy(dict(tree))
        self._add_layer(Layer(own, everywhere(Key(), own, source), source), Path(), ())

    def add_file(self, path: Path, including: tuple[Path, ...] = ()) -> None:
        """Put a YAML file over what is there.

        Args:
            including: the files that inherit it, one from the other.

        Raises: as `add`.
        """
        place = path.parent.resolve() / path.name
        if place in including:
            chain = " → ".join(file.name for file in (*including, path))
            raise ConfigError(f"{path} inherits itself: {chain}")
        tree, origins = read_yaml(path)
        source, files = Origin(str(path)), (*including, place)
        if any(map(is_strange, files)):
            source = replace(source, strange=True)
            origins = {key: replace(origin, strange=True) for key, origin in origins.items()}
        self._add_layer(Layer(tree, origins, source), path.parent, files)

    def override(self, overrides: Iterable[Override]) -> None:
        """Put overrides over what is there, in their order, but those that name things before those that set options.

        Raises: ConfigError for an element that is not there, and for what no named thing can be.
        """
        for item in sorted(overrides, key=lambda item: not self._names(item.key)):
            self._override(item)

    def reference_problems(self) -> list[Problem]:
        """What a strange record of a run reads of the environment that is not its business."""
        return list(reference_problems(self.tree, self.origins))

    def _add_layer(self, layer: Layer, folder: Path, including: tuple[Path, ...]) -> None:
        """Put a layer over what is there, after the files that it inherits."""
        layer, told = self.change(layer)
        self.notices += told
        tree, origins = dict(layer.tree), layer.origins
        inherited = tree.pop("defaults", None) or []
        if not isinstance(inherited, list) or not all(isinstance(name, str) for name in inherited):
            raise ConfigError(f"{origins[Key('defaults')]}: defaults is a list of files, like [base.yaml].")
        for index, name in enumerate(inherited):
            file = _inherited_file(name, [folder, *self.folders()], origins[Key("defaults", index)])
            if file.resolve() not in self._inherited:
                self.add_file(file, including)
                self._inherited.add(file.resolve())
        self._overlay(tree, origins)

    def _names(self, key: Key) -> bool:
        """Whether an override names things: `adapter=…`, `adapter.name=…`, `tracker=…`."""
        held = self.named.get(str(key[0]))
        one = held is not None and (not held.many or self.things(str(key[0])) is not None)
        return held is not None and (len(key) == 1 or (key[1:] == ("name",) and one))

    def _override(self, item: Override) -> None:
        key, held = item.key, self.named.get(str(item.key[0]))
        if self._names(key) and item.origin.fault:
            raise ConfigError(f"{key}={item.origin.text}: the value is not YAML: {item.origin.fault}.")
        if any(isinstance(part, int) for part in key):
            (self.lengthen if item.adds else self.put)(key, item.value, item.where)
            return
        if held and held.many and held.default and (len(key) > 1 or item.adds) and key[0] not in self.tree:
            self.tree[str(key[0])] = {name: {} for name in held.default}  # tracker.plot=false leaves the others
        if item.adds and held and len(key) == 1:
            self._add_names(item, held)
        elif item.adds:
            self.lengthen(key, item.value, item.where)
        else:
            layer: Any = item.value
            for part in reversed(key):
                layer = {part: layer}
            self._overlay(layer, item.where)

    def _add_names(self, item: Override, held: Named) -> None:
        """Put things beside those that a key holds: `tracker+=[jsonl]`."""
        if not held.many:
            raise ConfigError(f"{item.key} holds one, so nothing can be added to it.\nwrite {item.key}=NAME")
        value = item.value
        if not isinstance(value, Mapping):
            value = {name: {} for name in _names_in(str(item.key), value, item.origin)}
        self._overlay_many(str(item.key), value, {**everywhere(item.key, value, item.origin), **item.where})

    def _overlay(self, layer: Mapping[str, Any], origins: Mapping[Key, Origin]) -> None:
        for name, value in layer.items():
            where = {key: origin for key, origin in origins.items() if key[:1] == (name,)}
            if name in self.named and self.named[name].many:
                self._overlay_many(name, value, where)
            elif name in self.named:
                self._overlay_one(name, value, where)
            else:
                self.merge(Key(name), value, where)

    def _overlay_one(self, held: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if not isinstance(value, Mapping):
            origin = _first(where)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            value = origin.text or str(value) if number else None if value is False else value
            value, where = {"name": value}, {Key(held, "name"): origin}
        former = self.tree.setdefault(held, {})
        former_name = former.get("name", next(iter(self.named[held].default), None))
        place = where.get(Key(held, "name"))
        if "name" in value and former_name is not None and not self._same(held, former_name, value["name"], place):
            dropped = [f"{held}.{name}" for name in former if name not in value]  # others are written anew
            if dropped:
                chosen = "null" if value["name"] is None else value["name"]
                told = f"drops {', '.join(dropped)}, which belonged to {former_name}"
                self.notices.append(f"{held}={chosen} {told}")
            self.forget(Key(held))
        self.merge(Key(held), value, where)

    def _overlay_many(self, held: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if isinstance(value, str | list) or not value:
            self._replace_names(held, _names_in(held, value, _first(where)), _first(where))
            return
        if not isinstance(value, Mapping):
            raise ConfigError(f"{held} cannot be {value!r}.\nwrite names, like {held}: [name]\n{_first(where)}")
        value = self._without_common(held, value, where)
        places = {name: where.get(Key(held, name), _first(where)) for name in value}
        # `plot: false` and `plot: null` drop it, `plot:` does not
        drops = {name for name in value if value[name] is False or (value[name] is None and places[name].text != "")}
        defaults = self.named[held].default if drops == set(value) else ()  # those are what is dropped from
        self.tree.setdefault(held, {name: {} for name in defaults})
        for name, options in value.items():
            place, inside = places[name], {key: at for key, at in where.items() if key[1:2] == (name,)}
            if name in drops:
                self._drop(held, name, place)
            elif options is None or options is True or isinstance(options, Mapping):
                self._move(held, self._called(held, name, place), name)
                self.merge(Key(held, name), options if isinstance(options, Mapping) else {}, inside)
                self.origins[Key(held, name)] = place if options is True else self.origins.get(Key(held, name), place)
            else:
                advice = f"write its options as a mapping, or leave it out: {held}.{name}=null"
                raise ConfigError(f"{held}.{name} cannot be {options!r}.\n{advice}\n{place}")

    def _without_common(self, held: str, value: Mapping[str, Any], where: Mapping[Key, Origin]) -> Mapping[str, Any]:
        """Put options that are written beside the names of things over each of those; the things, with their own."""
        things = self.things(held)
        if things is None:
            return value
        there, name = list(self.tree.get(held) or self.named[held].default), value.get("name")
        if isinstance(name, str) and len(there) == 1 and things.has(there[0], "name") and not things.meant_by(name):
            self.notices.append(f"{held}.name={name} is an option of {there[0]}; {held}=[{name}] selects another")
            own = {Key(held, there[0], *key[1:]): origin for key, origin in where.items() if key[1:2] == ("name",)}
            self.merge(Key(held, there[0]), {"name": name}, own)
        elif isinstance(name, str):
            self._replace_names(held, [name], where.get(Key(held, "name"), _first(where)))
            there = [name]
        names, options, both = apart(value, things, there)
        for key in both:
            self.notices.append(f"{held}.{key} is an option of {there[0]}; {held}+=[{key}] adds the {held} {key}")
        if options:
            chosen = list(names or self.tree.get(held) or self.named[held].default)
            self._overlay_many(held, *for_each(held, options, chosen, where))
        return names

    def _replace_names(self, held: str, names: Sequence[str], origin: Origin) -> None:
        """Put other things in the place of those that a key holds; those that stay keep their options."""
        there = self.tree.setdefault(held, {})
        for name in names:
            self._move(held, self._called(held, name, origin), name)
        dropped = [f"{held}.{name}.{option}" for name in there if name not in names for option in there[name] or ()]
        if dropped:
            self.notices.append(f"{held}=[{', '.join(names)}] drops {', '.join(dropped)}")
        for name in [name for name in there if name not in names]:
            self.forget(Key(held, name))
        self.tree[held] = {name: there.get(name) or {} for name in names}
        self.origins.update({Key(held): origin, **{Key(held, name): origin for name in names}})

    def _drop(self, held: str, name: str, origin: Origin) -> None:
        former = self._called(held, name, origin)
        if former not in self.tree[held] and origin.line is None:
            self.notices.append(f"{held}.{name} is not there to be dropped; {choices(name, self.tree[held], 'there')}")
        self.forget(Key(held, former))

    def _same(self, held: str, former: Any, name: Any, origin: Origin | None) -> bool:
        """Whether two names mean one thing: files are known by where they are."""
        where = self.origins.get(Key(held, "name"), self.origins.get(Key(held, str(former))))
        return bool(former == name or _file(former, where) == _file(name, origin) is not None)

    def _called(self, held: str, name: str, origin: Origin | None) -> str:
        """The name by which a thing is there already; its own where it is not."""
        return next((former for former in self.tree[held] if self._same(held, former, name, origin)), name)

    def _move(self, held: str, former: str, name: str) -> None:
        """Call a thing by another name."""
        if former != name:
            self.tree[held][name] = self.tree[held].pop(former)
            at_former = [key for key in self.origins if key.within((held, former))]
            self.origins.update({Key(held, name, *key[2:]): self.origins.pop(key) for key in at_former})


def _names_in(held: str, value: Any, origin: Origin) -> list[str]:
    """The names in what a key is set to.

    Raises: ConfigError for an item that is none.
    """
    names = [value] if isinstance(value, str) else value or []
    strange = [name for name in names if not isinstance(name, str)]
    if strange:
        advice = f"write {held}: [name, …], or with options {held}: {{name: {{option: value}}}}"
        raise ConfigError(f"{held}: {strange[0]!r} is not a name.\n{advice}\n{origin}")
    return list(dict.fromkeys(names))


def _file(name: Any, origin: Origin | None) -> tuple[Path, str] | None:
    """Where the file of `my_loss.py:Mine` is, and what of it is meant; None for another name."""
    file, _, attribute = str(name).rpartition(":")
    if not file.endswith(".py"):
        return None
    beside = Path(origin.source).parent / file if origin and origin.line is not None else Path(file)
    return (beside if beside.is_file() else Path(file)).resolve(), attribute


def _first(where: Mapping[Key, Origin]) -> Origin:
    return next(iter(where.values()))


def _inherited_file(name: str, folders: Sequence[Path], origin: Origin) -> Path:
    for candidate in folders:
        if (candidate / name).is_file():
            return candidate / name
    beside = {other.name for candidate in folders for other in candidate.glob("*.y*ml")}
    looked = ", ".join(str(candidate) for candidate in folders)
    raise ConfigError(f"{origin}: {name} is not found.\n{choices(name, beside, f'in {looked}')}")
