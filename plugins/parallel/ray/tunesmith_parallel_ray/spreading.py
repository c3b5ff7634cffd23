"""The plugin that spreads the model over the processes which Ray starts: another of the same kind, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.errors import choices
from tunesmith.keys import Key
from tunesmith.types import Problem
from tunesmith.validate import instance, structured

_OPTIONS = Key("parallel", "sharding_options")


def spreader(name: str | None, options: Mapping[str, Any]) -> Any:
    """The instance of an installed plugin that can spread a model; None where it is wrong, see `sharding_problems`."""
    cls = _those_that_spread().get(name or "")
    if cls is None:
        return None
    node, problems = structured(cls, dict(options), _OPTIONS, f"parallel.sharding={name}")
    return None if problems else instance(cls, node)


def sharding_problems(name: str | None, options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the plugin that is to spread the model, and with its options."""
    if name is None:
        message = "parallel.sharding_options are of the plugin that parallel.sharding names, and it names none."
        return [Problem(str(_OPTIONS), message, "write parallel.sharding=fsdp")] if options else []
    possible = _those_that_spread()
    if name not in possible:
        message = f"parallel.sharding={name}: no installed plugin of this name spreads a model."
        return [Problem("parallel.sharding", message, choices(name, possible, "installed"))]
    return structured(possible[name], dict(options), _OPTIONS, f"parallel.sharding={name}")[1]


def _those_that_spread() -> dict[str, type]:
    return {name: cls for name, cls in Catalog.discover().classes("parallel").items() if _spreads(cls)}


def _spreads(cls: type) -> bool:
    return hasattr(cls, "place") and not cls.__module__.startswith(__name__.partition(".")[0])
