"""Adapters that an engine loads beside the one that its model came with, by names that requests choose them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import ConfigError, TunesmithError
from tunesmith_library_configuration.handles import holds_adapter


def adapters_of(given: Sequence[str]) -> dict[str, Path]:
    """The folders of adapters by name, from `NAME=PATH`.

    Raises: ConfigError that lists all that are none.
    """
    found: dict[str, Path] = {}
    problems = []
    for each in given:
        name, sign, path = each.partition("=")
        folder = Path(path).expanduser()
        if not (sign and name.strip() and path):
            problems.append(f"--adapter {each}: it is NAME=PATH, such as --adapter polite=runs/polite")
        elif name in found:
            problems.append(f"--adapter {each}: there are two of the name {name}")
        elif not holds_adapter(folder):
            problems.append(f"--adapter {each}: {path} holds no adapter (adapter_config.json)")
        found[name] = folder
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def load_adapter(engine: Any, name: str, folder: Path) -> None:
    """Have an engine load an adapter.

    Raises: TunesmithError when it cannot.
    """
    method_of(engine, "load_adapter")(name, folder)


def method_of(engine: Any, name: str) -> Any:
    """What an engine may have beside its contract.

    Raises: TunesmithError where it has not.
    """
    found = getattr(engine, name, None)
    if found is None:
        raise TunesmithError("this engine cannot load adapters beside the model; choose another with engine=NAME")
    return found
