"""Attributes that are made when they are first asked for, once, whichever threads ask at the same time."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar, overload

_T_co = TypeVar("_T_co", covariant=True)


class part(cached_property[_T_co]):
    """A `functools.cached_property` of an object with a lock `making`: Python's own has none since 3.12."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> part[_T_co]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> _T_co: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> part[_T_co] | _T_co:
        if instance is None:
            return self
        with instance.making:
            made: _T_co = super().__get__(instance, owner)
        return made
