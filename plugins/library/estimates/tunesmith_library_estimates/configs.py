"""The config.json of a model, wherever it is at hand: in a folder, in a hub's cache, or fetched alone from the hub."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tunesmith.addresses import hub_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

PATIENCE = 3.0
"""Seconds that a plan waits for a hub."""

_FILE = "config.json"


@dataclass(frozen=True)
class Described:
    """What a model's config.json says."""

    config: Mapping[str, Any] = field(default_factory=dict)  # empty where it is not at hand
    folder: Path | None = None  # that it lies in
    why: str = ""  # it is not at hand

    @property
    def is_shown(self) -> bool:
        """Whether a processor of more than text may lie beside it: of a file that came alone nobody knows better."""
        if self.folder is None or not any(self.folder.glob("*.safetensors")):
            return True
        return any((self.folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json"))


def described(address: str, plan: Plan | None = None, revision: str | None = None) -> Described:
    """The config.json of a model, or of the one that an adapter is for.

    Args:
        address: folder, or id on a hub.
        plan: has the hubs that may be asked; without it folders alone are looked at.
        revision: on the hub.
    """
    folder = Path(address).expanduser()
    if folder.is_dir():
        if (folder / _FILE).is_file():
            return _read(folder / _FILE)
        adapter = folder / "adapter_config.json"
        base = _json(adapter).get("base_model_name_or_path") if adapter.is_file() else None
        return described(base, plan) if base else Described(why=f"{address} has no {_FILE}")
    if plan is None:
        return Described(why=f"the {_FILE} of {address} is not at hand")
    name, rest = hub_of(address, plan.run.default_hub)
    hub = next((item.instance for item in plan.selected if item.entry.address == f"hub.{name}"), None)
    if hub is None or name == "local":
        return Described(why=f"the {_FILE} of {address} is not at hand")
    found = getattr(hub, "cached", lambda address, revision: None)(f"{rest}/{_FILE}", revision)
    if found is not None:
        return _read(found)
    return _fetched(hub.fetch, type(hub).__name__, rest, revision)


@cache
def _fetched(fetch: Callable[..., Path], hub: str, address: str, revision: str | None) -> Described:
    """What a hub gives in time; asked once in a process."""
    answers: list[Described] = []

    def ask() -> None:
        try:
            answers.append(_read(fetch(f"{address}/{_FILE}", revision)))
        except Exception as error:  # whatever its library raises: a plan goes on without
            answers.append(Described(why=f"{hub}: {str(error).partition(chr(10))[0]}"))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else Described(why=f"{hub} did not give {address}/{_FILE} within {PATIENCE:.0f} s")


def _read(file: Path) -> Described:
    try:
        return Described(_json(file), file.parent)
    except ValueError as error:
        return Described(why=f"{file} cannot be read: {error}")


def _json(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
