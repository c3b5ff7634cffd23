"""Calls that are done in parts, so that answers need not wait for the whole."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from tunesmith_library_engine.working import Call

T = TypeVar("T")


@dataclass(eq=False)
class Parts(Call):
    """Something that is done in parts, beside the rows that run; `function` gives an iterator over them."""

    _parts: Generator[None, None, Any] | None = None

    def advance(self) -> bool:
        """Do the next part; whether it was the last. Whoever waits gets what the iterator returns, or it raises."""
        try:
            self._parts = self._parts or self.function()
            next(self._parts)
        except StopIteration as end:
            self.done.set_result(end.value)
            return True
        except BaseException as error:
            self.done.set_exception(error)
            return True
        return False


def all_of(parts: Generator[None, None, T]) -> T:
    """Do all parts, one after the other: what their iterator returns."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result
