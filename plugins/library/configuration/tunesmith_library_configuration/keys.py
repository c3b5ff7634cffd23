"""Keys of a configuration and where their values were written. A key is rendered once, where it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith_library_configuration.errors import ConfigError

Part = str | int

_WRITTEN = re.compile(r"[^.\[\]]+(\[\d+\])*(\.[^.\[\]]+(\[\d+\])*)*")
_PARTS = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class Key(tuple[Part, ...]):
    """A path in a configuration: `Key("data", "train", 0, "path")` is shown as `data.train[0].path`."""

    __slots__ = ()

    def __new__(cls, *parts: Part) -> Key:
        return super().__new__(cls, parts)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key as it is written on a command line.

        Raises: ConfigError when the text is no key.
        """
        if not _WRITTEN.fullmatch(text):
            raise ConfigError(
                f"{text!r} is not a key of a configuration.\nwrite it like adapter.rank or data.train[0].path"
            )
        return cls(*(int(match[1]) if match[1] else match[2] for match in _PARTS.finditer(text)))

    @classmethod
    def of(cls, written: str | Key) -> Key:
        """A key as it is; a text as `parse` reads it, or as one part where it is no key (`a file's odd entry`)."""
        if isinstance(written, Key):
            return written
        return cls.parse(written) if _WRITTEN.fullmatch(written) else cls(*filter(None, [written]))

    def __truediv__(self, part: Part) -> Key:
        return Key(*self, part)

    @property
    def parent(self) -> Key:
        return Key(*self[:-1])

    def within(self, outer: tuple[Part, ...]) -> bool:
        """Whether this is `outer` itself or a key inside of it."""
        return self[: len(outer)] == tuple(outer)

    def __str__(self) -> str:
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self)
        return text.removeprefix(".")


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    source: str  # a file, "command line", …
    line: int | None = None
    text: str | None = field(default=None, compare=False)  # what was typed, where YAML may make another value of it
    fault: str = field(default="", compare=False)  # why what was typed is no YAML, so that it is a text
    strange: bool = field(default=False, compare=False)  # in the record of a run that is not one of the user's own

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


Origins = Mapping[Key, Origin]


def everywhere(key: Key, value: Any, origin: Origin) -> dict[Key, Origin]:
    """One origin for a value and for everything in it."""
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    inner = {at: origin for name, item in items for at in everywhere(key / name, item, origin)}
    return {key: origin, **inner}


def nearest_origin(key: Key, origins: Origins) -> Origin | None:
    """Where a value, or the nearest value that contains it, was written; None for a default."""
    places = (Key(*key[:length]) for length in range(len(key), 0, -1))
    return next((origins[place] for place in places if place in origins), None)
