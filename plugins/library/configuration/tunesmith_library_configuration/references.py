"""Values that came from the environment, which remember how they were written, so that they are not written out."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

TO_WRITE_IT = r"for the text itself write \${"
_ENVIRONMENT = "oc.env"
_LONGEST = 1_000_000  # characters
_REFERENCE = re.compile(r"\$\{(\.*)([\w.\[\]]+)\}")
_BEGINS = re.compile(r"(\\*)\$\{")


class References:
    """Says of resolved values which came from the environment, directly or by way of another key."""

    def __init__(self, written: Mapping[str, Any], whole: Callable[[], Any]) -> None:
        """Take the values as they were written, and what gives the whole tree that they may refer to."""
        self._written, self._give_whole = written, whole

    @functools.cached_property
    def whole(self) -> Mapping[str, Any]:
        """All values as they were written, those of other keys too."""
        whole: Mapping[str, Any] = self._give_whole()
        return whole

    @functools.cached_property
    def _reads_environment(self) -> bool:
        """Whether any value of the whole tree does; which of them another key leads to is not followed."""
        return _ENVIRONMENT in str(self.whole)

    def kept(self, name: str, value: Any) -> Any:
        """A resolved value, and in it those that came from the environment with their references."""
        return self._kept(self._written.get(name), value)

    def _kept(self, written: Any, value: Any) -> Any:
        if isinstance(written, str) and "${" in written and self._reads_environment:
            return _everywhere(written, value)
        if isinstance(written, dict) and isinstance(value, dict):
            return {name: self._kept(written.get(name), item) for name, item in value.items()}
        if isinstance(written, list) and isinstance(value, list):
            return [self._kept(before, item) for before, item in zip(written, value, strict=True)]
        return value


def _everywhere(written: str, value: Any) -> Any:
    kind: Any = type(value)
    return _class(kind)(value, written) if kind in (str, int, float) else value


@functools.cache
def _class(kind: Any) -> Any:
    """`str`, `int` or `float` with the reference that a value came from."""

    def new(cls: Any, value: Any, reference: str) -> Any:
        made = kind.__new__(cls, value)
        made.reference = reference
        return made

    return type(f"{kind.__name__}_of_environment", (kind,), {"__new__": new, "__reduce__": _reduce})


def _reduce(value: Any) -> Any:
    """Copies, and what other processes get, are plain."""
    plain = next(kind for kind in (str, int, float) if isinstance(value, kind))
    return plain, (plain(value),)


def too_long(tree: Mapping[str, Any], place: tuple[Any, ...]) -> str:
    """Why a value is not resolved: with what its references lead to it has millions of characters; "" for any other."""
    try:
        length = _Lengths(tree).at(place)
    except RecursionError:
        return "has references that lead to others without end."
    return f"would have {length:,} characters, with what its references lead to." if length > _LONGEST else ""


class _Lengths:
    """How long values are once they are resolved, at most."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree
        self._known: dict[tuple[Any, ...], int] = {}

    def at(self, place: tuple[Any, ...]) -> int:
        if place not in self._known:
            self._known[place] = 0  # a circle, which OmegaConf tells
            value: Any = self._tree
            for part in place:
                value = self._part(value, part)
            self._known[place] = self._of(value, place)
        return self._known[place]

    @staticmethod
    def _part(value: Any, part: Any) -> Any:
        if isinstance(value, list) and str(part).isdigit() and int(part) < len(value):
            return value[int(part)]
        return value.get(part) if isinstance(value, Mapping) else None

    def _of(self, value: Any, place: tuple[Any, ...]) -> int:
        if isinstance(value, Mapping):
            return sum(self.at((*place, name)) for name in value)
        if isinstance(value, list):
            return sum(self.at((*place, index)) for index in range(len(value)))
        if not isinstance(value, str):
            return 1
        named = ((dots, to.replace("[", ".").replace("]", "")) for dots, to in _REFERENCE.findall(value))
        starts = ((place[: -len(dots)] if dots else (), to.split(".")) for dots, to in named)
        return len(value) + sum(self.at((*start, *to)) for start, to in starts)


def literally(value: Any) -> Any:
    """The same values, whose texts OmegaConf takes as they are: what looks like a reference is none any more."""
    if isinstance(value, dict):
        return {name: literally(item) for name, item in value.items()}
    if isinstance(value, list):
        return [literally(item) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    return _BEGINS.sub(lambda found: found[1] * 2 + r"\${", value)


def plainly(value: Any) -> Any:
    """The same values without their references, in new containers."""
    if isinstance(value, dict):
        return {name: plainly(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plainly(item) for item in value]
    return value if reference_of(value) is None else _reduce(value)[1][0]


def reference_of(value: Any) -> str | None:
    """How a value that came from the environment was written; None for any other."""
    return getattr(value, "reference", None) if isinstance(value, str | int | float) else None
