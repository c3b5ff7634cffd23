"""What the parts of one piece of work share: each thing is made when it is first asked for, and put away at the end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self


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


def apart(value: Mapping[Any, Any], is_name: Callable[[str, Any], bool]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take a mapping apart into things by their names, and options that are written beside them.

    Args:
        is_name: whether a key with its value names a thing.
    """
    names = {key: given for key, given in value.items() if is_name(key, given)}
    return names, {key: given for key, given in value.items() if key not in names and key != "name"}


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
