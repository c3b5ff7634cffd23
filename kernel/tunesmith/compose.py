"""Composition: YAML files, their `defaults`, and overrides become one tree whose values know where they came from.

Later wins: the files that `defaults` names, then the file's own body, then the overrides. Which keys and types are
possible is not decided here but by the plugins that the tree selects (`validate`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog, find_recipe, recipe_folders, recipes
from tunesmith.dialects import OURS, read_foreign
from tunesmith.errors import ConfigError, choices
from tunesmith.keys import Key, Origin, Origins, everywhere
from tunesmith.kinds import KINDS
from tunesmith.messages import announce
from tunesmith.reading import parse_value, read_yaml
from tunesmith.types import Problem
from tunesmith.upgrades import upgraded

Overrides = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True)
class Composition:
    """The user's values, in canonical form, before the plugins' own defaults.

    Canonical: a kind of which a run has one is `{"name": …, options…}`; a kind of which it has many maps names to
    options.
    """

    tree: Mapping[str, Any]
    origins: Mapping[Key, Origin]
    notices: tuple[str, ...] = ()
    file: Path | None = None
    command: str | None = None  # the command that a dialect says the file is for
    problems: tuple[Problem, ...] = ()  # of keys that a dialect refused

    @property
    def run_folder(self) -> Path | None:
        """The run that the configuration was read from."""
        return self.file.parent if self.file and self.file.name == "run.yaml" else None

    def replaced(self, kind: str, options: Mapping[str, Any]) -> Composition:
        """The same configuration with other options of a kind."""
        return replace(self, tree={**self.tree, kind: options})


@dataclass
class _Layers:
    """A composition while it is made: each layer is put over those before."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Origin] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    inherited: set[Path] = field(default_factory=set)  # files that are in already; of two mentions the first counts
    catalog: Catalog | None = None  # where dialects are; None for all that are installed
    overrides: list[tuple[Key, Any, Origin]] = field(default_factory=list)  # those in a foreign file's words go into it
    taken: set[Key] = field(default_factory=set)  # and are not put over it again
    command: str | None = None  # of what was translated; None when all is ours
    problems: list[Problem] = field(default_factory=list)

    def overlay(self, layer: Mapping[str, Any], origins: Mapping[Key, Origin]) -> None:
        """Put a layer over what is there; both in the user's own form."""
        for name, value in layer.items():
            where = {key: origin for key, origin in origins.items() if key[:1] == (name,)}
            if name in KINDS and KINDS[name].many:
                self._overlay_many(name, value, where)
            elif name in KINDS:
                self._overlay_one(name, value, where)
            else:
                self.merge(Key(name), value, where)

    def _overlay_one(self, kind: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if not isinstance(value, Mapping):
            value, where = {"name": value}, {Key(kind, "name"): _first(where)}
        former = self.tree.setdefault(kind, {})
        former_name = former.get("name", next(iter(KINDS[kind].default), None))
        if "name" in value and former_name not in (None, value["name"]):
            dropped = [f"{kind}.{name}" for name in former if name != "name"]
            if dropped:
                chosen = "null" if value["name"] is None else value["name"]
                told = f"drops {', '.join(dropped)}, which belonged to {former_name}"
                self.notices.append(f"{kind}={chosen} {told}")
            self._forget(Key(kind))
        self.merge(Key(kind), value, where)

    def _overlay_many(self, kind: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if isinstance(value, str | list) or not value:
            names: list[Any] = [value] if isinstance(value, str) else value or []
            strange = [name for name in names if not isinstance(name, str)]
            if strange:
                advice = f"write {kind}: [name, …], or with options {kind}: {{name: {{option: value}}}}"
                raise ConfigError(f"{kind}: {strange[0]!r} is not a name.\n{advice}\n{_first(where)}")
            self._forget(Key(kind))
            self.origins[Key(kind)] = _first(where)
            value, where = {name: {} for name in names}, {Key(kind, name): _first(where) for name in names}
        if not isinstance(value, Mapping):
            raise ConfigError(f"{kind} cannot be {value!r}.\nwrite names, like {kind}: [name]\n{_first(where)}")
        self.tree.setdefault(kind, {})
        for name, options in value.items():
            inside = {key: at for key, at in where.items() if key[1:2] == (name,)}
            if options is False:
                self._forget(Key(kind, name))
            elif options is None or options is True or isinstance(options, Mapping):
                self.merge(Key(kind, name), options if isinstance(options, Mapping) else {}, inside)
                self.origins.setdefault(Key(kind, name), _first(inside))
            else:
                place = inside.get(Key(kind, name), _first(where))
                raise ConfigError(f"{kind}.{name} cannot be {options!r}.\nwrite its options as a mapping\n{place}")

    def replace_element(self, key: Key, value: Any, origin: Origin) -> None:
        """Set a value inside a list: `data.train[0].path`.

        Raises: ConfigError when there is no such element.
        """
        node: Any = self.tree
        steps: tuple[Any, ...] = key
        for depth, part in enumerate(steps):
            holder = list if isinstance(part, int) else dict
            if not isinstance(node, holder) or (isinstance(part, int) and part >= len(node)):
                found = f"a list of {len(node)}" if isinstance(node, list) else repr(node)
                raise ConfigError(f"{key} cannot be set: {Key(*key[:depth])} is {found}.\n{origin}")
            if depth == len(key) - 1:
                node[part] = value
            else:
                node = node.get(part) if isinstance(node, dict) else node[part]
        self.origins = {at: former for at, former in self.origins.items() if not at.within(key)}
        self.origins.update(everywhere(key, value, origin))

    def merge(self, key: Key, value: Any, where: Mapping[Key, Origin]) -> None:
        """Set a value; mappings merge, everything else replaces."""
        if isinstance(value, Mapping):
            target = self._mapping(key)
            self.origins.update({at: origin for at, origin in where.items() if at == key})
            for name, inner in value.items():
                inside = key / name
                if not (isinstance(inner, Mapping) and isinstance(target.get(name), dict)):
                    self._forget(inside)
                self.merge(inside, inner, {at: origin for at, origin in where.items() if at.within(inside)})
        else:
            self._forget(key)
            self._mapping(key.parent)[key[-1]] = value
            self.origins.update(where)

    def _mapping(self, key: Key) -> dict[Any, Any]:
        node: dict[Any, Any] = self.tree
        for part in key:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        return node

    def _forget(self, key: Key) -> None:
        self._mapping(key.parent).pop(key[-1], None)
        self.origins = {at: origin for at, origin in self.origins.items() if not at.within(key)}


def _first(where: Mapping[Key, Origin]) -> Origin:
    return next(iter(where.values()))


def compose(
    config: str | Path | Mapping[str, Any] | None = None, overrides: Overrides = None, catalog: Catalog | None = None
) -> Composition:
    """Put files and overrides together.

    Overrides count in their order, but those that choose a plugin come before those that set options, so that
    `quantizer.bits=2 quantizer=hqq` means what it says.

    Args:
        config: a YAML file, the folder of a run, a mapping of the same form, or None.
        overrides: `{"adapter.rank": 16}` or `["adapter.rank=16"]`; over a configuration of another program those in
            its own words, too.
        catalog: where to look for dialects; by default all that are installed.

    Raises: ConfigError for a file that is missing or is not YAML, and for an override that cannot be read.
    """
    items = overrides.items() if isinstance(overrides, Mapping) else map(_split, overrides or ())
    origin = Origin("overrides" if isinstance(overrides, Mapping) else "command line")
    read = [(Key.parse(text), copy.deepcopy(value)) for text, value in items]
    made, file = _Layers(catalog=catalog, overrides=[(*item, origin) for item in read]), None
    if isinstance(config, Mapping):
        tree, given = copy.deepcopy(dict(config)), Origin("the given mapping")
        _overlay_layer(made, tree, everywhere(Key(), tree, given), given, Path(), ())
    elif config is not None:
        file = _config_file(Path(config))
        _overlay_file(made, file, ())
    elif any(key[0] not in OURS for key, _ in read):
        _overlay_layer(made, {}, {}, origin, Path(), ())
    for key, value in sorted(read, key=lambda item: not _chooses(item[0])):
        if key not in made.taken:
            _override(made, key, value, origin)
    return Composition(made.tree, made.origins, tuple(made.notices), file, made.command, tuple(made.problems))


def _chooses(key: Key) -> bool:
    """Whether an override names plugins: `adapter=…`, `adapter.name=…`, `tracker=…`."""
    return key[0] in KINDS and (len(key) == 1 or (key[1:] == ("name",) and not KINDS[str(key[0])].many))


def _config_file(path: Path) -> Path:
    if path.is_dir():
        if not (path / "run.yaml").is_file():
            raise ConfigError(f"{path} is a folder without run.yaml, so not a run.\ngive a YAML file or a run's folder")
        return path / "run.yaml"
    if path.is_file():
        return path
    recipe = find_recipe(path)
    if recipe:
        announce("configuration", recipe, "an installed recipe")
        return recipe
    beside = {*(str(other) for other in path.parent.glob("*.y*ml")), *recipes()}
    raise ConfigError(f"{path}: no such file.\n{choices(str(path), beside, 'configurations')}")


def _overlay_file(made: _Layers, path: Path, including: tuple[Path, ...]) -> None:
    if path.resolve() in including:
        chain = " → ".join(file.name for file in (*including, path))
        raise ConfigError(f"{path} inherits itself: {chain}")
    tree, origins = read_yaml(path)
    _overlay_layer(made, tree, origins, Origin(str(path)), path.parent, (*including, path.resolve()))


def _overlay_layer(
    made: _Layers, tree: dict[str, Any], origins: Origins, source: Origin, folder: Path, including: tuple[Path, ...]
) -> None:
    """Put a tree over what is there, after the files that it inherits."""
    tree, told = upgraded(tree, str(source))
    if told:
        origins = {**everywhere(Key(), tree, source), **origins}
    made.notices += told
    tree, origins = _in_our_words(made, tree, origins, source)
    inherited = tree.pop("defaults", None) or []
    if not isinstance(inherited, list) or not all(isinstance(name, str) for name in inherited):
        raise ConfigError(f"{origins[Key('defaults')]}: defaults is a list of files, like [base.yaml].")
    for index, name in enumerate(inherited):
        file = _inherited_file(name, folder, origins[Key("defaults", index)])
        if file.resolve() not in made.inherited:
            _overlay_file(made, file, including)
            made.inherited.add(file.resolve())
    made.overlay(tree, origins)


def _in_our_words(
    made: _Layers, tree: dict[str, Any], origins: Origins, source: Origin
) -> tuple[dict[str, Any], Origins]:
    """A tree as it is, or translated with the overrides that are in its own words: not ours, or written in it."""
    if tree and not tree.keys() - OURS:
        return tree, origins
    layer = _Layers(copy.deepcopy(tree), dict(origins))
    theirs = [item for item in made.overrides if item[0][0] not in OURS or (len(item[0]) == 1 and item[0][0] in tree)]
    for key, value, origin in theirs:
        if any(isinstance(part, int) for part in key):
            layer.replace_element(key, value, origin)
        else:
            layer.merge(key, value, everywhere(key, value, origin))
    reading = read_foreign(layer.tree, layer.origins, source, made.catalog)
    if reading is None:
        return tree, origins
    made.command = reading.command
    made.taken |= {key for key, _, _ in theirs}
    made.notices += reading.notices
    made.problems += reading.problems
    return reading.tree, reading.origins


def _inherited_file(name: str, folder: Path, origin: Origin) -> Path:
    folders = [folder, *recipe_folders()]
    for candidate in folders:
        if (candidate / name).is_file():
            return candidate / name
    beside = {other.name for candidate in folders for other in candidate.glob("*.y*ml")}
    looked = ", ".join(str(candidate) for candidate in folders)
    raise ConfigError(f"{origin}: {name} is not found.\n{choices(name, beside, f'in {looked}')}")


def _split(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"{text!r} is not an override.\nwrite key=value, like adapter.rank=16")
    return key, parse_value(value, text)


def _override(made: _Layers, key: Key, value: Any, origin: Origin) -> None:
    """Overlay one value, as a layer that holds only it."""
    kind = KINDS.get(str(key[0]))
    if any(isinstance(part, int) for part in key):
        made.replace_element(key, value, origin)
        return
    if kind and kind.many and kind.default and len(key) > 1 and kind.name not in made.tree:
        made.tree[kind.name] = {name: {} for name in kind.default}  # tracker.plot=false leaves the other defaults
    layer: Any = value
    for part in reversed(key):
        layer = {part: layer}
    made.overlay(layer, everywhere(key, value, origin))
