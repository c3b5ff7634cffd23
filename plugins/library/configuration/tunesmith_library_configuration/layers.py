"""Layers: YAML files, the files that they inherit, and overrides become one tree whose values know their origins.

Later wins: the files that `defaults` names, then the file's own body, then the overrides. A key of the top level may
hold *named things*, each with options of its own; all others hold plain values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunesmith_library_configuration.errors import ConfigError, choices
from tunesmith_library_configuration.keys import Key, Origin, Origins, everywhere
from tunesmith_library_configuration.reading import parse_value, read_yaml, to_yaml
from tunesmith_library_configuration.trees import Tree

Overrides = Mapping[str, Any] | Sequence[str] | None


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


@dataclass(frozen=True)
class Override:
    """A value that is put over all files."""

    key: Key
    value: Any
    origin: Origin


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
        if path.resolve() in including:
            chain = " → ".join(file.name for file in (*including, path))
            raise ConfigError(f"{path} inherits itself: {chain}")
        tree, origins = read_yaml(path)
        self._add_layer(Layer(tree, origins, Origin(str(path))), path.parent, (*including, path.resolve()))

    def override(self, overrides: Iterable[Override]) -> None:
        """Put overrides over what is there, in their order, but those that name things before those that set options.

        Raises: ConfigError for an element that is not there, and for what no named thing can be.
        """
        for item in sorted(overrides, key=lambda item: not self._names(item.key)):
            self._override(item)

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
        return key[0] in self.named and (len(key) == 1 or (key[1:] == ("name",) and not self.named[str(key[0])].many))

    def _override(self, item: Override) -> None:
        key, held = item.key, self.named.get(str(item.key[0]))
        if any(isinstance(part, int) for part in key):
            self.put(key, item.value, item.origin)
            return
        if held and held.many and held.default and len(key) > 1 and key[0] not in self.tree:
            self.tree[str(key[0])] = {name: {} for name in held.default}  # tracker.plot=false leaves the others
        layer: Any = item.value
        for part in reversed(key):
            layer = {part: layer}
        self._overlay(layer, everywhere(key, item.value, item.origin))

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
            value, where = {"name": value}, {Key(held, "name"): _first(where)}
        former = self.tree.setdefault(held, {})
        former_name = former.get("name", next(iter(self.named[held].default), None))
        if "name" in value and former_name not in (None, value["name"]):
            dropped = [f"{held}.{name}" for name in former if name != "name"]
            if dropped:
                chosen = "null" if value["name"] is None else value["name"]
                told = f"drops {', '.join(dropped)}, which belonged to {former_name}"
                self.notices.append(f"{held}={chosen} {told}")
            self.forget(Key(held))
        self.merge(Key(held), value, where)

    def _overlay_many(self, held: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if isinstance(value, str | list) or not value:
            names: list[Any] = [value] if isinstance(value, str) else value or []
            strange = [name for name in names if not isinstance(name, str)]
            if strange:
                advice = f"write {held}: [name, …], or with options {held}: {{name: {{option: value}}}}"
                raise ConfigError(f"{held}: {strange[0]!r} is not a name.\n{advice}\n{_first(where)}")
            self.forget(Key(held))
            self.origins[Key(held)] = _first(where)
            value, where = {name: {} for name in names}, {Key(held, name): _first(where) for name in names}
        if not isinstance(value, Mapping):
            raise ConfigError(f"{held} cannot be {value!r}.\nwrite names, like {held}: [name]\n{_first(where)}")
        self.tree.setdefault(held, {})
        for name, options in value.items():
            inside = {key: at for key, at in where.items() if key[1:2] == (name,)}
            if options is False:
                self.forget(Key(held, name))
            elif options is None or options is True or isinstance(options, Mapping):
                self.merge(Key(held, name), options if isinstance(options, Mapping) else {}, inside)
                self.origins.setdefault(Key(held, name), _first(inside))
            else:
                place = inside.get(Key(held, name), _first(where))
                raise ConfigError(f"{held}.{name} cannot be {options!r}.\nwrite its options as a mapping\n{place}")


def read_overrides(overrides: Overrides) -> list[Override]:
    """Overrides as they are given: `{"adapter.rank": 16}` or `["adapter.rank=16"]`.

    Raises: ConfigError for one that cannot be read.
    """
    items = overrides.items() if isinstance(overrides, Mapping) else map(_split, overrides or ())
    origin = Origin("overrides" if isinstance(overrides, Mapping) else "command line")
    return [Override(Key.parse(text), copy.deepcopy(value), origin) for text, value in items]


def written_overrides(overrides: Overrides) -> list[str]:
    """Overrides as a command line takes them, values as YAML in one line: what `read_overrides` reads as the same."""
    if isinstance(overrides, Mapping):
        return [f"{key}={_flow(value)}" for key, value in overrides.items()]
    return list(overrides or ())


def _flow(value: Any) -> str:
    return to_yaml(value, flow=True, width=float("inf")).strip().removesuffix("...").strip()


def _split(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"{text!r} is not an override.\nwrite key=value, like adapter.rank=16")
    return key, parse_value(value, text)


def _first(where: Mapping[Key, Origin]) -> Origin:
    return next(iter(where.values()))


def _inherited_file(name: str, folders: Sequence[Path], origin: Origin) -> Path:
    for candidate in folders:
        if (candidate / name).is_file():
            return candidate / name
    beside = {other.name for candidate in folders for other in candidate.glob("*.y*ml")}
    looked = ", ".join(str(candidate) for candidate in folders)
    raise ConfigError(f"{origin}: {name} is not found.\n{choices(name, beside, f'in {looked}')}")
