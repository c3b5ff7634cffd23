"""Values that came from the environment, which remember how they were written, so that they are not written out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

_ENVIRONMENT = "oc.env"


class References:
    """Says of resolved values which came from the environment, directly or by way of another key."""

    def __init__(self, written: Mapping[str, Any], whole: Callable[[], Any]) -> None:
        """Take the values as they were written, and what gives the whole tree that they may refer to."""
        self._written, self._whole = written, whole

    @functools.cached_property
    def _reads_environment(self) -> bool:
        """Whether any value of the whole tree does; which of them another key leads to is not followed."""
        return _ENVIRONMENT in str(self._whole())

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
