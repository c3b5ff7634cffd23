"""What the parts of one piece of work share: each thing is made when it is first asked for, and put away at the end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, Self

from tunesmith_library_configuration.errors import TunesmithError, nearest
from tunesmith_library_configuration.options import options as options_of


class Shared(ExitStack):
    """Things by name, for as long as the block lasts; outside of one nothing is kept.

    `callback` and `enter_context` say how they are put away.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[Hashable, Any] | None = None

    def __enter__(self) -> Self:
        self._held = {}
        return super().__enter__()

    def __exit__(self, *error: Any) -> bool:
        self._held = None
        return bool(super().__exit__(*error))

    def once(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """The thing of this name, made now where nobody has asked before."""
        if self._held is None:
            return make()
        if name not in self._held:
            self._held[name] = make()
        return self._held[name]

    def offer(self, name: Hashable, thing: Any) -> None:
        """Let others have what was made anyway; what is there already stays."""
        if self._held is not None:
            self._held.setdefault(name, thing)

    def get(self, name: Hashable) -> Any:
        """The thing of this name, None where there is none."""
        return (self._held or {}).get(name)


class Catalogued(Protocol):
    """Where things are found by name."""

    def names(self, held: str, /) -> list[str]: ...

    def find(self, held: str, name: str, /) -> Any: ...

    def load(self, entry: Any, /) -> type: ...


class Things:
    """The things that there are for a key; the class of one is loaded when its options are asked for.

    Args:
        held: the key.
    """

    def __init__(self, held: str, catalog: Catalogued) -> None:
        self.names = catalog.names(held)
        self._held, self._catalog = held, catalog

    def has(self, name: str, option: str) -> bool:
        """Whether a thing has an option of this name; of one that is not there or is broken nobody knows."""
        if name not in self.names:
            return False
        try:
            cls = self._catalog.load(self._catalog.find(self._held, name))
        except TunesmithError:  # is told where it is selected
            return False
        return any(known.name == option for known in options_of(cls))

    def meant_by(self, name: str) -> bool:
        """Whether a text is or may be meant as the name of a thing: installed, misspelt, or in a file."""
        return ".py:" in name or name.rpartition(":")[2] in self.names or bool(nearest(name, self.names))


def apart(
    value: Mapping[Any, Any], things: Things, there: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Take a mapping apart into things by their names, and options that are written beside them.

    Args:
        there: the things that are selected.

    Returns: things, options, and which options could be the names of things too: those that the only thing which is
        selected has, where no other is named beside them.
    """
    sure = [key for key in value if key in there or key in things.names or ":" in str(key)]
    both = [
        key
        for key in (sure if len(sure) == len(there) == 1 else ())
        if key not in there and not isinstance(value[key], Mapping | None) and things.has(there[0], key)
    ]

    def is_name(key: str, said: Any) -> bool:
        if key in sure:
            return key not in both
        return isinstance(said, Mapping | None) and not any(things.has(name, key) for name in sure or there)

    names = {key: given for key, given in value.items() if is_name(key, given)}
    return names, {key: given for key, given in value.items() if key not in names and key != "name"}, both


def for_each(held: str, options: Mapping[str, Any], things: Iterator[str] | list[str], where: Mapping[Any, Any]) -> Any:
    """Options for all things: as options of each, with their origins.

    Args:
        where: the origins of the options, under the key that holds the things.
    """
    chosen = list(things)
    moved: dict[Any, Any] = {}
    for at, origin in where.items():
        if len(at) > 1 and at[1] in options:
            moved |= {type(at)(held, thing, *at[1:]): origin for thing in chosen}
    return {thing: dict(options) for thing in chosen}, moved
