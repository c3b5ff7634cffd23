"""What an environment variable leaves of the things that are installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def restricted(things: Sequence[T], called: Callable[[T], Sequence[str]], variable: str) -> tuple[list[T], str]:
    """The things that are meant by a list of names, all where it is empty, and what to say of it.

    Args:
        called: what people call a thing.
        variable: the environment variable that has the list, names separated by commas.
    """
    chosen = os.environ.get(variable, "")
    only = [item.strip() for item in chosen.split(",") if item.strip()]
    if not only:
        return list(things), ""
    meant = {item: [thing for thing in things if item in called(thing)] for item in only}
    shown = [thing for thing in things if any(thing in found for found in meant.values())]
    nothing = [item for item, found in meant.items() if not found]
    said = f"{variable}={chosen} hides other plugins" if len(shown) < len(things) else ""
    return shown, f"{said}; nothing is called {', '.join(nothing)}" if nothing else said
