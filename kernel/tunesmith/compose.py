"""Composition: YAML files, their `defaults`, and overrides become one tree whose values know where they came from.

Later wins: the files that `defaults` names, then the file's own body, then the overrides. Which keys and types are
possible is not decided here but by the plugins that the tree selects (`validate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.catalog import recipe_folders
from tunesmith.errors import ConfigError
from tunesmith.kinds import KINDS
from tunesmith.reading import Origin, parse_path, parse_value, read_yaml, show_path

Key = tuple[str | int, ...]
Overrides = Mapping[str, Any] | Sequence[str] | None


@dataclass
class Composition:
    """The user's values, in canonical form, before the plugins' own defaults.

    Canonical: a kind of which a run has one is `{"name": …, options…}`; a kind of which it has many maps names to
    options.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Origin] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    file: Path | None = None

    def origin(self, key: Key) -> Origin | None:
        """Where a value was written, or the nearest value that contains it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return None

    def overlay(self, layer: Mapping[str, Any], origins: Mapping[Key, Origin]) -> None:
        """Put a layer over what is there; both in the user's own form."""
        for name, value in layer.items():
            where = {key: origin for key, origin in origins.items() if key[0] == name}
            if name in KINDS and KINDS[name].many:
                self._overlay_many(name, value, where)
            elif name in KINDS:
                self._overlay_one(name, value, where)
            else:
                self._merge((name,), value, where)

    def _overlay_one(self, kind: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if not isinstance(value, Mapping):
            value, where = {"name": value}, {(kind, "name"): _first(where)}
        former = self.tree.setdefault(kind, {})
        former_name = former.get("name", next(iter(KINDS[kind].default), None))
        if "name" in value and value["name"] != former_name:
            dropped = [name for name in former if name != "name"]
            if dropped:
                self.notices.append(
                    f"{kind}={value['name']} drops {kind}.{f', {kind}.'.join(dropped)}, which belonged to {former_name}"
                )
            self._forget((kind,))
        self._merge((kind,), value, where)

    def _overlay_many(self, kind: str, value: Any, where: Mapping[Key, Origin]) -> None:
        if value is None or isinstance(value, str | list):
            names = [value] if isinstance(value, str) else value or []
            origin = _first(where)
            self._forget((kind,))
            value, where = {name: {} for name in names}, {(kind, name): origin for name in names}
        for name, options in value.items() if isinstance(value, Mapping) else ():
            if options is False:
                self._forget((kind, name))
            else:
                options = {} if options is None or options is True else options
                self._merge((kind, name), options, {key: at for key, at in where.items() if key[1:2] == (name,)})
        self.tree.setdefault(kind, {})

    def _merge(self, key: Key, value: Any, where: Mapping[Key, Origin]) -> None:
        """Set a value; mappings merge, everything else replaces."""
        if isinstance(value, Mapping):
            target = self._mapping(key)
            self.origins.update({at: origin for at, origin in where.items() if at == key})
            for name, inner in value.items():
                inside = (*key, name)
                if not (isinstance(inner, Mapping) and isinstance(target.get(name), dict)):
                    self._forget(inside)
                self._merge(inside, inner, {at: origin for at, origin in where.items() if at[: len(inside)] == inside})
        else:
            self._forget(key)
            self._mapping(key[:-1])[key[-1]] = value
            self.origins.update(where)

    def _mapping(self, key: Key) -> dict[Any, Any]:
        node: Any = self.tree
        for part in key:
            if isinstance(node, list):
                node = node[int(part)]
            else:
                if not isinstance(node.get(part), dict | list):
                    node[part] = {}
                node = node[part]
        return node

    def _forget(self, key: Key) -> None:
        node: Any = self.tree
        for part in key[:-1]:
            node = node.get(part, {}) if isinstance(node, dict) else node[int(part)]
        if isinstance(node, dict):
            node.pop(key[-1], None)
        self.origins = {at: origin for at, origin in self.origins.items() if at[: len(key)] != key}


def _first(where: Mapping[Key, Origin]) -> Origin:
    return next(iter(where.values()))


def compose(config: str | Path | Mapping[str, Any] | None = None, overrides: Overrides = None) -> Composition:
    """Put files and overrides together.

    Args:
        config: a YAML file, the folder of a run, a mapping of the same form, or None.
        overrides: `{"adapter.rank": 16}` or `["adapter.rank=16"]`.

    Raises: ConfigError for a file that is missing or is not YAML, and for an override that cannot be read.
    """
    made = Composition()
    if isinstance(config, Mapping):
        made.overlay(config, {(name,): Origin("the given mapping") for name in config})
    elif config is not None:
        made.file = _config_file(Path(config))
        _overlay_file(made, made.file, ())
    items = overrides.items() if isinstance(overrides, Mapping) else map(_split, overrides or ())
    source = "overrides" if isinstance(overrides, Mapping) else "command line"
    for text, value in items:
        _override(made, parse_path(text), value, Origin(source))
    return made


def _config_file(path: Path) -> Path:
    if path.is_dir():
        if not (path / "run.yaml").is_file():
            raise ConfigError(f"{path} is a folder without run.yaml, so not a run.\ngive a YAML file or a run's folder")
        return path / "run.yaml"
    if path.is_file():
        return path
    for folder in recipe_folders():
        if (folder / path).is_file():
            return folder / path
    from tunesmith.errors import choices

    beside = [str(other) for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    raise ConfigError(f"{path}: no such file.\n{choices(str(path), beside, 'in that folder')}")


def _overlay_file(made: Composition, path: Path, including: tuple[Path, ...]) -> None:
    """Put a file over what is there, after the files that it inherits."""
    if path.resolve() in including:
        raise ConfigError(f"{path} includes itself: {' → '.join(map(str, (*including, path)))}")
    tree, origins = read_yaml(path)
    inherited = tree.pop("defaults", None) or []
    if isinstance(inherited, str) or not all(isinstance(name, str) for name in inherited):
        raise ConfigError(f"{path}: defaults must be a list of files, like [base.yaml]")
    for name in inherited:
        _overlay_file(made, _inherited_file(name, path), (*including, path.resolve()))
    made.overlay(tree, origins)


def _inherited_file(name: str, path: Path) -> Path:
    tried = [folder / name for folder in (path.parent, *recipe_folders())]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise ConfigError(f"{path}: defaults: {name} is not found.\nlooked at: {', '.join(map(str, tried))}")


def _split(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"{text!r} is not an override.\nwrite key=value, like adapter.rank=16")
    return key, parse_value(value, text)


def _override(made: Composition, key: Key, value: Any, origin: Origin) -> None:
    """Overlay one value, as a layer that holds only it."""
    if any(isinstance(part, int) for part in key):
        node = made.tree
        try:
            for part in key[:-1]:
                node = node[part]  # type: ignore[index]
            node[key[-1]] = value  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            raise ConfigError(f"{show_path(key)}={value}: there is no such element to override") from None
        made.origins[key] = origin
        return
    layer: Any = value
    for part in reversed(key):
        layer = {part: layer}
    made.overlay(layer, {key: origin})
