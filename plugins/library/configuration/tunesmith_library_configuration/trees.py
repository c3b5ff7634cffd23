"""A tree of values that know where they were written: merging, replacing and forgetting parts of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin, Origins, everywhere


class Added(list[Any]):
    """Items that stand behind those of an option's default, which a tree does not know."""


@dataclass
class Tree:
    """Values, and the origin of each; what is put over them wins."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Origin] = field(default_factory=dict)

    def put(self, key: Key, value: Any, where: Origins) -> None:
        """Set a value, of a list's element or of a key; mappings merge, everything else replaces.

        Args:
            where: the origins of the value and of all in it.

        Raises: ConfigError when there is no such element.
        """
        if any(isinstance(part, int) for part in key):
            self.replace_element(key, value, where)
        else:
            self.merge(key, value, where)

    def lengthen(self, key: Key, value: Any, where: Origins) -> None:
        """Put items, or one, behind those of a list; where none is written, behind those of the option's default.

        Raises: ConfigError when what is there is no list.
        """
        items, former, origin = value if isinstance(value, list) else [value], self.find(key), where[key]
        if origin.fault:
            raise ConfigError(f"{key}+={origin.text}: this is not YAML: {origin.fault}.\nwrite {key}+=[ITEM]")
        if isinstance(former, dict) or (isinstance(former, str) and "${" in former):
            raise ConfigError(f"{key}+=… adds to a list, but {key} is {former!r}.\n{origin}")
        first = former if isinstance(former, list) else Added() if former is None else [former]
        places = {at: there for at, there in self.origins.items() if at.within(key)} or {key: origin}
        for number, item in enumerate(items, len(first)):
            inside = (key / (number - len(first)), key / number)
            moved = {Key(*inside[1], *at[len(key) + 1 :]): there for at, there in where.items() if at.within(inside[0])}
            places |= moved or everywhere(inside[1], item, origin)
        self.put(key, type(first)([*first, *items]), places)

    def find(self, key: Key) -> Any:
        """What is written under a key; None for nothing."""
        node: Any = self.tree
        for part in key:
            if isinstance(node, list):
                node = node[part] if isinstance(part, int) and part < len(node) else None
            else:
                node = node.get(part) if isinstance(node, dict) else None
        return node

    def replace_element(self, key: Key, value: Any, where: Origins) -> None:
        """Set a value inside a list: `data.train[0].path`.

        Raises: ConfigError when there is no such element.
        """
        node: Any = self.tree
        steps: tuple[Any, ...] = key
        for depth, part in enumerate(steps):
            holder = list if isinstance(part, int) else dict
            if not isinstance(node, holder) or (isinstance(part, int) and part >= len(node)):
                found = f"a list of {len(node)}" if isinstance(node, list) else repr(node)
                inside = isinstance(node, str) and isinstance(key[depth - 1], int)
                whole = f"\nwrite it whole: {Key(*key[:depth])}={{{key[depth]}: …, …}}" if inside else ""
                raise ConfigError(f"{key} cannot be set: {Key(*key[:depth])} is {found}.{whole}\n{where[key]}")
            if depth == len(key) - 1:
                node[part] = value
            else:
                node = node.get(part) if isinstance(node, dict) else node[part]
        self.origins = {at: former for at, former in self.origins.items() if not at.within(key)}
        self.origins.update(where)

    def merge(self, key: Key, value: Any, where: Mapping[Key, Origin]) -> None:
        """Set a value; mappings merge, everything else replaces."""
        if isinstance(value, Mapping):
            target = self._mapping(key)
            self.origins.update({at: origin for at, origin in where.items() if at == key})
            for name, inner in value.items():
                inside = key / name
                if not (isinstance(inner, Mapping) and isinstance(target.get(name), dict)):
                    self.forget(inside)
                self.merge(inside, inner, {at: origin for at, origin in where.items() if at.within(inside)})
        else:
            self.forget(key)
            self._mapping(key.parent)[key[-1]] = value
            self.origins.update(where)

    def forget(self, key: Key) -> None:
        """Take a value away, and all that is in it."""
        self._mapping(key.parent).pop(key[-1], None)
        self.origins = {at: origin for at, origin in self.origins.items() if not at.within(key)}

    def _mapping(self, key: Key) -> dict[Any, Any]:
        node: dict[Any, Any] = self.tree
        for part in key:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        return node
